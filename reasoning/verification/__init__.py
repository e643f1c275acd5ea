"""Does the evidence tell what was asked? Sentences ranked and checked."""
