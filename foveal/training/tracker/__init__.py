"""Training of the embedded tracker's head."""
