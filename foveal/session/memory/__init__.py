"""What a session remembers: events of what was seen, and answers of them."""
