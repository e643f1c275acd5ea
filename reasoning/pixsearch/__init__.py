"""PixSearch (arXiv 2601.19060): one model writes, marks entities, masks them, searches."""
