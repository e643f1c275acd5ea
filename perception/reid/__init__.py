"""Re-identification: what an object looks like, and finding it again."""
