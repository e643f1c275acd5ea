"""Collections of pictures: regions with masks and vectors made once, found by words or looks."""
