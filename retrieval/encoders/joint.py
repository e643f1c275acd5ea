"""Protocols of what turns pictures and their regions into vectors that can be searched.

`meaning` lies in the space of texts, so that words find pictures; `look` tells one instance from
others of its kind. They are two because neither does the other's work (docs/log.md).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from retrieval.encoders.text import TextEncoder, Vectors
from stream.errors import QueryError
from stream.frame import Image, Mask

LOOK_BYTES = 160  # 1,280 sign bits


class JointEncoder(TextEncoder, Protocol):
    """Texts, pictures and regions of pictures as points of one space."""

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for what is no [H, W, 3] picture."""

    def encode_regions(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32 of unit norm, a region a picture.

        Raises QueryError for an empty mask and for one that is not its picture's size.
        """


class Appearance(Protocol):
    """What one instance looks like, whatever it is called."""

    def look(self, image: Image, mask: Mask) -> bytes:
        """LOOK_BYTES sign bits, nearer by Hamming distance the more alike the regions look.

        Raises QueryError for an empty mask and for one that is not its picture's size.
        """


def check_images(images: Sequence[Image]) -> None:
    """Raises QueryError that names the first picture that is not [H, W, 3] uint8."""
    for number, image in enumerate(images):
        shape, dtype = np.shape(image), getattr(image, "dtype", type(image).__name__)
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
            raise QueryError(
                f"expected non-empty [H, W, 3] uint8 RGB pictures, got {shape} {dtype} as number "
                f"{number}"
            )


def check_regions(images: Sequence[Image], masks: Sequence[Mask]) -> None:
    """Raises QueryError that names the first mask that is empty or does not fit its picture."""
    check_images(images)
    if len(images) != len(masks):
        raise QueryError(f"expected a mask a picture, got {len(masks)} for {len(images)} pictures")
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        if np.shape(mask) != image.shape[:2] or mask.dtype != np.bool_:
            raise QueryError(
                f"expected a bool mask of the picture's size {image.shape[:2]}, got "
                f"{np.shape(mask)} {getattr(mask, 'dtype', type(mask).__name__)} as number {number}"
            )
        if not mask.any():
            raise QueryError(
                f"expected a region with at least one pixel, got an empty mask as number {number}"
            )
