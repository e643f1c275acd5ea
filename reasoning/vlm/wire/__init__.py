"""What a chat server is sent, and how each kind wants it."""
