"""Decoded pictures as upright RGB."""

from typing import Any

import numpy as np

from stream.frame import Image


def to_rgb(picture: Any) -> Image:
    """av.VideoFrame -> upright RGB [H, W, 3] uint8; rotation as its display matrix says."""
    image = picture.to_ndarray(format="rgb24")
    turns = round((picture.rotation or 0) / 90) % 4  # counter-clockwise, as numpy counts
    return np.ascontiguousarray(np.rot90(image, turns) if turns else image)
