"""Words for things and acts: which mean the same."""
