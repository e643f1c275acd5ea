"""What a live session remembers, and forgets when asked."""
