"""Models that answer with masks (Sa2VA, SAMTok), and the bridge from boxes to masks."""
