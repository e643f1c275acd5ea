"""What is heard in a live session, and what is said."""
