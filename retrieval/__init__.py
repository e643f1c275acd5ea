"""Encoders, index, knowledge base and search."""
