"""A masklet's mask cut anew from the picture now and then, so that small errors do not add up.

MobileSAM is shown the masklet's box and mask. What it cuts is taken when it is mostly the same
thing; when it is not, either may be wrong, and the tracker goes on with its own.
"""

import weakref
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from perception.masks.sam_decoder import CORNER, OPPOSITE, Prompts
from perception.masks.small_sam import LOW, ImageEmbedding, SmallSam, paste
from perception.tracking.cues import FrameCues
from perception.tracking.settings import MatchConfig
from perception.tracking.state import Track, replace_frame, shown_by
from stream.events import Region
from stream.frame import Image, Mask
from stream.geometry import decode_mask, mask_box, mask_iou

SIDE = 512  # pixels of the picture's longer side that the encoder sees
SAME = 0.7  # overlap from which two masks are of one thing
KEPT = 2  # embeddings made ahead
SURE = 10.0  # logit of the mask that is shown, inside, and minus that outside


class MaskRenewer(Protocol):
    """Cuts masks anew from the picture."""

    def __call__(self, image: Image, masks: list[Mask]) -> list[Mask | None]:
        """[H, W] masks -> the same things cut anew; None for what is not found as it was."""

    def look_ahead(self, image: Image) -> None:
        """Make now what depends on the picture alone; its masks will be asked for soon."""

    def ready(self, image: Image) -> bool:
        """Whether that was done."""


class Renewer:
    """One look at a picture, then every mask of it cut anew."""

    def __init__(self, sam: SmallSam) -> None:
        """`sam` may be shared with what else asks it for masks."""
        self._sam = sam
        self._ahead: list[tuple[weakref.ref[Image], ImageEmbedding]] = []

    def look_ahead(self, image: Image) -> None:
        """Look at a picture whose masks will be asked for; kept while the picture lives."""
        alive = [pair for pair in self._ahead if pair[0]() is not None]
        self._ahead = [(weakref.ref(image), self._sam.embed_at(image, SIDE)), *alive][:KEPT]

    def ready(self, image: Image) -> bool:
        """Whether this picture was looked at."""
        return any(known() is image for known, _ in self._ahead)

    def __call__(self, image: Image, masks: list[Mask]) -> list[Mask | None]:
        """[H, W] masks -> the same things cut anew; None for what is not found as it was."""
        if not masks:
            return []
        ahead = (seen for known, seen in self._ahead if known() is image)
        seen = next(ahead, None) or self._sam.embed_at(image, SIDE)
        return [self._one(seen, mask) for mask in masks]

    def _one(self, seen: ImageEmbedding, mask: Mask) -> Mask | None:
        box = mask_box(mask)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        prompts: Prompts = [(x0, y0, CORNER), (x1, y1, OPPOSITE)]
        fresh = paste(self._sam.logits(seen, prompts, _shown(seen, mask))[0], seen)
        return fresh if mask_iou(fresh, mask) >= SAME else None


def _shown(seen: ImageEmbedding, mask: Mask) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """[H, W] -> [4h, 4w] logits over the cells."""
    step = seen.scale / LOW
    shift = (step - 1) / 2  # between the middles of pixels
    matrix = np.array([[step, 0, shift], [0, step, shift]], np.float32)
    # A mask is far larger than that: averaged first, or thin parts would be missed.
    width = max(1, round(1 / step))
    soft = cv2.blur(mask.astype(np.float32), (width, width))
    rows, cols = (4 * side for side in seen.cells.shape[1:])
    low = cv2.warpAffine(soft, matrix, (cols, rows), flags=cv2.INTER_LINEAR)
    return np.asarray((2 * low - 1) * SURE, np.float32)


def renewed(
    view: FrameCues,
    tracks: tuple[Track, ...],
    regions: tuple[Region, ...],
    renewer: MaskRenewer,
    config: MatchConfig,
) -> tuple[Track, ...]:
    """Masks cut anew, in the places of those that were just remembered."""
    out, seen = list(tracks), [number for number, track in enumerate(tracks) if track.seen]
    fresh = renewer(view.image, [decode_mask(regions[number].mask) for number in seen])
    for number, mask in zip(seen, fresh, strict=True):
        if mask is not None:  # then it overlaps the one before, so it is not empty
            frame, window, soft = shown_by(mask, view.key, config)
            track = replace_frame(tracks[number], frame)
            out[number] = replace(track, window=window, soft=soft, area=float(mask.mean()))
    return tuple(out)
