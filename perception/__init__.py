"""Backbone features, masks, grounding and tracking."""
