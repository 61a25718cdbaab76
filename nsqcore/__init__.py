"""What the daemons and the client share: it knows the wire and the command line, but no program."""
