"""The look of one instance as sign bits: small enough to keep for everything that was seen.

A region is looked at in two views (`region_views`), each described by a network's pooled features.
Their mean keeps a bit a channel: whether there is more of it than of the middle channel, so that
half of the bits are set and nothing needs to be learnt of what is usual. The share of equal bits
estimates an angle (Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002);
things that have nothing in common are at about 90 degrees.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from retrieval.encoders.joint import LOOK_BYTES, check_regions
from retrieval.encoders.text import Vectors, unit_rows
from stream.crops import region_views
from stream.errors import QueryError
from stream.frame import Image, Mask

PooledFeatures = Callable[[Sequence[Image]], Vectors]  # N pictures -> [N, C] float32


class SignAppearance:
    """`Appearance` from the pooled features of any network of 1,280 channels."""

    def __init__(self, pooled: PooledFeatures) -> None:
        self._pooled = pooled

    def look(self, image: Image, mask: Mask) -> bytes:
        """LOOK_BYTES sign bits; raises QueryError for a mask that is empty or does not fit.

        Raises QueryError where the network has another number of channels.
        """
        check_regions([image], [mask])
        views = unit_rows(self._pooled(region_views(image, mask)))
        if views.shape[1] != LOOK_BYTES * 8 or not np.isfinite(views).all():
            raise QueryError(
                f"expected {LOOK_BYTES * 8} finite features a picture, got shape {views.shape}"
            )
        return sign_bits(views.mean(axis=0))


def sign_bits(vector: Vectors) -> bytes:
    """[C] -> C / 8 bytes: which channels are above the median one, the first channel highest."""
    return np.packbits(vector > np.median(vector)).tobytes()


def likeness(looks: npt.NDArray[np.uint8], look: bytes) -> Vectors:
    """[N, LOOK_BYTES] bytes and one look -> [N] float32 cosines, -1..1, by their equal bits.

    Raises QueryError for looks of another length.
    """
    if looks.ndim != 2 or looks.shape[1] != len(look):
        raise QueryError(f"expected looks of {len(look)} bytes, got shape {looks.shape}")
    other = np.bitwise_count(looks ^ np.frombuffer(look, np.uint8)).sum(axis=1, dtype=np.int64)
    return np.asarray(np.cos(np.pi * other / (8 * len(look))), np.float32)
