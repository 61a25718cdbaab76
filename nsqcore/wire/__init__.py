"""The bytes of the NSQ protocols: no sockets, no loop, no clock in here."""
