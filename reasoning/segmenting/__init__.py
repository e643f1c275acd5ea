"""Models that answer with masks (Sa2VA), and the bridge from boxes to masks."""
