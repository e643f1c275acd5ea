"""The search-token decode loop and the assistant turn."""
