"""The V2 protocol: connections, sessions, commands."""
