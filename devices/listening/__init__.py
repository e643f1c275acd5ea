"""Hearing: voice activity, end of turn, whisper, barge-in and echo."""
