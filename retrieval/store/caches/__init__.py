"""What an index derives from its rows: vectors and words that are searched."""
