"""What becomes of cost and memory as one thing grows; see docs/performance.md."""
