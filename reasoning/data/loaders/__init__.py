"""Readers of public data sets in the formats they are published in."""
