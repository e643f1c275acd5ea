"""Recordings as frame sources: video files, picture folders, Aria VRS, and how they are played."""
