"""One session over a recording or a stream: stages, masklets, replay and tracking."""
