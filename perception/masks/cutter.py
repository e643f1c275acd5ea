"""From a prompt to a mask: the protocol, and the cutter that needs no weights."""

from collections.abc import Callable
from typing import Protocol

from perception.features.backbone import Features
from perception.masks.grabcut import mask_from_box, mask_from_point
from perception.masks.prompts import PointsPrompt, pixels_of
from stream.errors import PromptError
from stream.frame import Image, Mask
from stream.geometry import Box, Point


class Cutter(Protocol):
    """Makes masks [H, W] of a [H, W, 3] uint8 RGB picture; threads may share one."""

    def from_box(self, image: Image, box: Box) -> Mask:
        """The thing that fills a box; raises PromptError for a box outside the picture."""

    def from_point(self, image: Image, point: Point, features: Features) -> Mask:
        """The thing under a point (x, y); raises PromptError for a point outside the picture."""

    def from_points(self, image: Image, prompt: PointsPrompt, features: Features) -> Mask:
        """The thing, or the things, under all points on it and under none off it.

        Raises PromptError for a point outside the picture, and for points that cannot be told
        apart.
        """

    def sharpen(self, image: Image, mask: Mask, box: Box | None = None) -> Mask:
        """The thing that a rough mask [H, W] lies on; an empty mask stays empty.

        `box` is where the thing was seen, if that is known better than by the mask.
        """


class EdgeCutter:
    """GrabCut and the shared features (`perception.masks.grabcut`)."""

    def from_box(self, image: Image, box: Box) -> Mask:
        """See `mask_from_box`."""
        return mask_from_box(image, box)

    def from_point(self, image: Image, point: Point, features: Features) -> Mask:
        """See `mask_from_point`."""
        return mask_from_point(image, point, features)

    def from_points(self, image: Image, prompt: PointsPrompt, features: Features) -> Mask:
        """The regions around the points on the thing, without those around the points off it."""
        (first, *_), _ = pixels_of(prompt)
        mask = mask_from_point(image, first, features)
        return settled(mask, prompt, lambda point: mask_from_point(image, point, features))

    def sharpen(self, image: Image, mask: Mask, box: Box | None = None) -> Mask:
        """As it is: all rough masks were cut along edges when they were made."""
        return mask


def settled(mask: Mask, prompt: PointsPrompt, under: Callable[[Point], Mask]) -> Mask:
    """A mask [H, W] that keeps its points: what is `under` a point on the thing that it misses is
    added, and what is under a point off the thing that it covers is taken out.

    Raises PromptError where that takes a point on the thing out again.
    """
    on, off = pixels_of(prompt)
    for x, y in on:
        mask = mask if mask[y, x] else mask | under((x, y))
    for x, y in off:
        mask = mask & ~under((x, y)) if mask[y, x] else mask
    if any(mask[y, x] for x, y in off) or not all(mask[y, x] for x, y in on):
        raise PromptError(
            "expected points on and off the thing that can be told apart, got points of one "
            "region; use a box or a mask"
        )
    return mask
