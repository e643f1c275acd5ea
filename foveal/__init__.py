"""Composition root: configuration to objects, command line, reports."""
