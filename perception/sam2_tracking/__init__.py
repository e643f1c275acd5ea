"""Streaming tracking with SAM 2: the tracker, and what enters its memory."""
