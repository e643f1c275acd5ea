"""The embedded tracker: matching, flow, windows, the mask head, renewal and state."""
