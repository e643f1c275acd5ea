"""Re-identification: is it the same thing? One way to decide for all trackers, and ways to seek."""
