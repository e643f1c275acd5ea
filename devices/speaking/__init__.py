"""Speech out: sentences, voices and WAV files."""
