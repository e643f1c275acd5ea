"""A memory on disk: one file, one writer, what is forgotten, what is taken out and brought in."""
