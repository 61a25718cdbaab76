"""Measures the daemon on this machine; see docs/performance.md."""
