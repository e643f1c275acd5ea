"""Speech, sinks and device links."""
