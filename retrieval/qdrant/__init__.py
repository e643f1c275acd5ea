"""A collection of a Qdrant server beside the local indexes: searched, and filled from an index."""
