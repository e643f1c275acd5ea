"""SAM 3 by transformers: instances of a phrase in a picture, and the networks of its tracker."""
