"""Sound as numbers: types of samples, the one resampler, WAV files."""
