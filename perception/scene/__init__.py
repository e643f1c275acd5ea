"""What is in view: things with names, phrases, places, colours."""
