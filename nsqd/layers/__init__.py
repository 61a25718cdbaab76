"""A nsqd's TLS, from its options; the layers themselves are those of ``nsqcore.layers``."""
