"""What knowledge is read from: entries, cleaned and split into passages."""
