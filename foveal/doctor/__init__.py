"""What this machine has, which profile fits it, and whether each stage works here."""
