"""What `foveal replay`, `foveal track` and `foveal serve` do, from request to results."""
