"""Settings: the schema with its defaults, and how files are read."""
