"""``nsq_to_http``: each message of a topic becomes an HTTP request."""
