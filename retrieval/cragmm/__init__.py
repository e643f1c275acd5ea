"""CRAG-MM's search: its pipeline as a searcher, and its indexes as a source (no chromadb)."""
