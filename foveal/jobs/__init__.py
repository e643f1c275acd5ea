"""What `foveal replay` and `foveal track` do, from request to results."""
