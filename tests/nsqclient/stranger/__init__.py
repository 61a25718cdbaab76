"""A program of somebody else that uses all of the client: it is checked as his type checkers see it, not run."""
