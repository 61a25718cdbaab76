"""The client library in bad weather, and what became of each message counted at the end."""
