"""Frames, time, channels, keyframes and the nouns every layer shares (the lowest layer)."""
