"""Detectors: everyday objects, faces and written words."""
