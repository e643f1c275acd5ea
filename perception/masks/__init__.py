"""Prompts (points, boxes, masks) to masks: the small SAM, GrabCut; and proposals without one."""
