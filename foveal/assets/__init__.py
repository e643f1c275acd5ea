"""Pinned assets: the registry, and how they are pulled and converted."""
