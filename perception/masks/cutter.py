"""From a prompt to a mask: the protocol, and the cutter that needs no weights."""

from typing import Protocol

from perception.features.backbone import Features
from perception.masks.grabcut import mask_from_box, mask_from_point
from stream.frame import Image, Mask
from stream.geometry import Box, Point


class Cutter(Protocol):
    """Makes masks [H, W] of a [H, W, 3] uint8 RGB picture; threads may share one."""

    def from_box(self, image: Image, box: Box) -> Mask:
        """The thing that fills a box; raises PromptError for a box outside the picture."""

    def from_point(self, image: Image, point: Point, features: Features) -> Mask:
        """The thing under a point (x, y); raises PromptError for a point outside the picture."""

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

    def sharpen(self, image: Image, mask: Mask, box: Box | None = None) -> Mask:
        """As it is: all rough masks were cut along edges when they were made."""
        return mask
