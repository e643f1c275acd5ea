"""How large the pictures are that a model reads: what a picture costs is decided here."""

import math
from typing import Any

import numpy as np
from PIL import Image as Pillow

from reasoning.vlm.coordinates import ResizedInput
from stream.frame import Image


def fitted(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """(height, width) of a frame -> of the picture that is made of it, of `max_pixels` at most."""
    height, width = size
    scale = min(1.0, math.sqrt(max_pixels / (height * width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def as_picture(image: Image, max_pixels: int) -> Pillow.Image:
    """A frame as the processors take it, made smaller where it is too large."""
    height, width = fitted((image.shape[0], image.shape[1]), max_pixels)
    picture = Pillow.fromarray(np.ascontiguousarray(image))
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Pillow.Resampling.BICUBIC)


def resized_by(eyes: Any) -> ResizedInput | None:
    """How an image processor of Qwen-VL's kind resizes what it is given; None for other kinds."""
    if not hasattr(eyes, "merge_size") or not getattr(eyes.size, "longest_edge", None):
        return None
    factor = eyes.patch_size * eyes.merge_size
    return ResizedInput(factor, eyes.size.shortest_edge, eyes.size.longest_edge)


def bound(eyes: Any, max_pixels: int) -> None:
    """Hold an image processor to `max_pixels`: some enlarge whatever they are given.

    Qwen-VL's bound pixels; Idefics3's and SmolVLM's enlarge to a longest edge and cut it into
    squares; InternVL's and the like choose a number of tiles. What has one size keeps it.
    """
    size: Any = getattr(eyes, "size", None)
    if hasattr(eyes, "merge_size") and getattr(size, "longest_edge", None):
        least = min(size.shortest_edge, max_pixels)
        eyes.size = type(size)(shortest_edge=least, longest_edge=min(size.longest_edge, max_pixels))
    elif hasattr(eyes, "do_image_splitting") and getattr(size, "longest_edge", None):
        square = int(eyes.max_image_size["longest_edge"])
        along = max(1, int(math.sqrt(max_pixels)) // square)
        eyes.size = type(size)(longest_edge=min(size.longest_edge, along * square))
    elif hasattr(eyes, "max_patches") and getattr(size, "height", None):
        tiles = max(1, max_pixels // (size.height * size.width))
        eyes.max_patches = min(eyes.max_patches, tiles)
        eyes.min_patches = min(eyes.min_patches, tiles)
