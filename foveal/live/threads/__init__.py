"""The threads that sessions share: one for frames, in turn, and one for each answer."""
