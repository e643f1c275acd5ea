"""Where the time goes: spans per stage and the Chrome trace file."""
