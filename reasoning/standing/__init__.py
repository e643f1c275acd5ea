"""Standing questions: what is to be told when it is seen, and when it has been seen. Pure."""
