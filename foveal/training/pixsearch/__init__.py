"""Training of the segmenting model."""
