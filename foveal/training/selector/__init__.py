"""Training of the region selector."""
