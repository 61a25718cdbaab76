"""The links to nsqlookupd."""
