"""The knowledge index: vectors, words and entries on disk and in memory."""
