"""Training of the everyday head."""
