"""Large models behind the SegmentingLMM protocol."""
