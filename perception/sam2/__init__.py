"""The networks of SAM 2 and EdgeTAM, and the converter of their checkpoints."""
