"""Who may do what: auth servers and what they allow."""
