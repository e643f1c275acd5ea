"""The networks of SAM 2 and EdgeTAM, their loaders and converters."""
