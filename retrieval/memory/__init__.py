"""What the wearer saw, heard and said: events and sights in one file, and how to recall them."""
