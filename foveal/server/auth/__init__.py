"""Who may use a server: tokens and certificates."""
