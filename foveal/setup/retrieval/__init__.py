"""Puts search together: sources, indexes, encoders."""
