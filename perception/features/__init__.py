"""The shared backbone: one pass of a frame that tracking, scenes and grounding all use."""
