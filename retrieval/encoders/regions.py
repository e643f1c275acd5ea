"""A region of a picture as one vector, by any two towers, in the ways of `region_modes`."""

from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from retrieval.encoders.joint import check_images, check_regions
from retrieval.encoders.region_modes import VIEWS, RegionMode
from retrieval.encoders.text import Progress, Vectors, unit_rows
from stream.crops import Colour, region_views
from stream.errors import ConfigError, QueryError
from stream.frame import Image, Mask

BATCH = 16  # pictures or texts at once


class DualTowers(Protocol):
    """A network of texts and one of pictures, trained into one space; vectors of any length."""

    id: str  # of the weights and of what is done to texts and pictures before
    dim: int
    fill: Colour  # what a blanked background is set to
    region_modes: tuple[RegionMode, ...]  # that it bears

    def texts(self, texts: Sequence[str]) -> Vectors:
        """[N, D] float32."""

    def pictures(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32."""

    def under_masks(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32: `pooled`, or `alpha`, whichever of them is in `region_modes`."""


class DualEncoder:
    """`JointEncoder` of two towers."""

    def __init__(self, towers: DualTowers, regions: RegionMode = "both") -> None:
        """Raises ConfigError where the towers do not bear that way of reading regions."""
        if regions not in towers.region_modes:
            raise ConfigError(
                f"expected regions of {towers.id} as one of {', '.join(towers.region_modes)}, "
                f"got {regions!r}"
            )
        self._towers, self._regions = towers, regions
        self.id = f"{towers.id}+{regions}"
        self.dim = towers.dim

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for anything that is not text."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise QueryError("expected a sequence of strings to encode, got something else")
        return _batched(self._towers.texts, self.dim, list(texts), progress=progress)

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for what is no [H, W, 3] picture."""
        check_images(images)
        return _batched(self._towers.pictures, self.dim, images)

    def encode_regions(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for a mask that does not fit."""
        check_regions(images, masks)
        if self._regions not in VIEWS:
            return _batched(self._towers.under_masks, self.dim, images, masks)
        views = [self._views(*pair) for pair in zip(images, masks, strict=True)]
        flat = [view for shown in views for view in shown]
        vectors = _batched(self._towers.pictures, self.dim, flat)
        each = len(views[0]) if views else 1
        return unit_rows(vectors.reshape(-1, each, self.dim).mean(axis=1))

    def _views(self, image: Image, mask: Mask) -> list[Image]:
        blanked, plain = region_views(image, mask, self._towers.fill)
        return {"crop": [plain], "blanked": [blanked]}.get(self._regions, [blanked, plain])


def cover(mask: Mask, grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    """[H, W] -> [h, w] shares 0..1 of each cell of a grid that a mask covers."""
    soft = mask.astype(np.float32)
    shares = cv2.resize(soft, (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(shares, 0, 1), np.float32).reshape(grid)


def chosen_cells(mask: Mask, grid: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Flat numbers of the cells at least half under a mask; else of the one that most is."""
    shares = cover(mask, grid).ravel()
    found = np.flatnonzero(shares >= 0.5)
    return found if len(found) else np.array([int(shares.argmax())], np.int64)


def _batched(
    run: Callable[..., Vectors],
    dim: int,
    *columns: Sequence[object],
    progress: Progress | None = None,
) -> Vectors:
    """Unit rows of what a network says, a few at a time; raises QueryError for NaN or infinity."""
    rows, count = [], len(columns[0])
    for start in range(0, count, BATCH):
        rows.append(run(*(column[start : start + BATCH] for column in columns)))
        if progress is not None:
            progress(min(start + BATCH, count), count)
    vectors = np.concatenate(rows) if rows else np.zeros((0, dim), np.float32)
    if not np.isfinite(vectors).all():
        raise QueryError("expected finite vectors of the encoder, got NaN or infinity")
    return unit_rows(vectors)
