"""Puts parts together: configuration and assets to objects."""
