"""What the daemon tells about itself: /stats and statsd."""
