"""Prompts: a mask, a box or points that start or correct a masklet.

And back: a region as mask, box and point at once, SAM 2++'s three granularities.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream.errors import PromptError
from stream.events import Region
from stream.frame import Mask
from stream.geometry import Box, Point, clip_box, decode_mask, inner_point, mask_box

MAX_POINTS = 64


@dataclass(frozen=True, slots=True, eq=False)
class MaskPrompt:
    """The thing's pixels: [H, W] bool, the size of the frame."""

    mask: Mask


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """A box around the thing: x0, y0, x1, y1 in frame pixels, x1 and y1 exclusive."""

    box: Box


@dataclass(frozen=True, slots=True)
class PointsPrompt:
    """Points on the thing (label True) and off it (label False), x, y in frame pixels."""

    points: tuple[tuple[float, float], ...]
    labels: tuple[bool, ...] = ()  # empty: all points are on the thing


Prompt = MaskPrompt | BoxPrompt | PointsPrompt
Granularity = Literal["mask", "box", "point"]


def checked(prompt: Prompt | Mask, size: tuple[int, int]) -> Prompt:
    """The prompt fitted to a frame of `size` (height, width); a bare mask becomes a MaskPrompt.

    Raises PromptError for an empty mask or one of another size, a box that misses the frame or has
    no area, a point outside the frame, no point on the thing, or coordinates that are not finite.
    """
    if isinstance(prompt, np.ndarray):
        prompt = MaskPrompt(prompt)
    if isinstance(prompt, MaskPrompt):
        return _checked_mask(prompt.mask, size)
    if isinstance(prompt, BoxPrompt):
        return _checked_box(prompt.box, size)
    return _checked_points(prompt, size)


def pixels_of(prompt: PointsPrompt) -> tuple[list[Point], list[Point]]:
    """The pixels x, y on the thing, and those off it."""
    labels = prompt.labels or (True,) * len(prompt.points)
    sides: tuple[list[Point], list[Point]] = ([], [])
    for (x, y), on in zip(prompt.points, labels, strict=True):
        sides[not on].append((int(x), int(y)))
    return sides


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """One region of one frame in every form; box and point are None while it is out of view."""

    mask: Mask  # [H, W]
    box: Box | None  # tight
    point: Point | None  # x, y of the pixel farthest from the mask's edge
    confidence: float  # 0..1


def forms_of(region: Region) -> Forms:
    """A tracker's region in all three forms."""
    mask = decode_mask(region.mask)
    box = mask_box(mask)
    return Forms(mask, box, None if box is None else inner_point(mask), region.score)


def as_prompt(forms: Forms, granularity: Granularity) -> Prompt:
    """A prompt that says the same; raises PromptError for a region out of view."""
    if forms.box is None or forms.point is None:
        raise PromptError("expected a region in view to prompt with, got an empty one")
    if granularity == "mask":
        return MaskPrompt(forms.mask)
    if granularity == "box":
        return BoxPrompt(forms.box)
    return PointsPrompt(((float(forms.point[0]), float(forms.point[1])),))


def _checked_mask(mask: Mask, size: tuple[int, int]) -> MaskPrompt:
    if mask.shape != size:
        raise PromptError(f"expected a mask of the frame's size {size}, got {mask.shape}")
    mask = np.asarray(mask, dtype=bool)
    if not mask.any():
        raise PromptError("expected a mask with at least one pixel, got an empty one")
    return MaskPrompt(mask)


def _checked_box(box: Box, size: tuple[int, int]) -> BoxPrompt:
    if not all(math.isfinite(value) for value in box):
        raise PromptError(f"expected finite box corners, got {box}")
    if box[2] <= box[0] or box[3] <= box[1]:
        raise PromptError(f"expected a box with x0 < x1 and y0 < y1, got {box}")
    return BoxPrompt(clip_box(box, *size))


def _checked_points(prompt: PointsPrompt, size: tuple[int, int]) -> PointsPrompt:
    height, width = size
    labels = prompt.labels or (True,) * len(prompt.points)
    if not 1 <= len(prompt.points) <= MAX_POINTS:
        raise PromptError(f"expected 1 to {MAX_POINTS} points, got {len(prompt.points)}")
    if len(labels) != len(prompt.points):
        raise PromptError(
            f"expected one label a point, got {len(prompt.points)} points and {len(labels)} labels"
        )
    for x, y in prompt.points:
        if not (0 <= x < width and 0 <= y < height):  # also False for NaN
            raise PromptError(f"expected points inside the {width}x{height} frame, got ({x}, {y})")
    if not any(labels):
        raise PromptError("expected at least one point on the thing, got only points off it")
    return PointsPrompt(prompt.points, labels)
