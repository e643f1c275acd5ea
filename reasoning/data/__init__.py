"""Search-interleaved training data: records, annotators, and the builder that joins them."""
