"""Ways to run the suite."""
