"""What may lie between a socket and its protocol: TLS, deflate, snappy."""
