"""Everything on disk: queues, metadata, and what keeps both whole."""
