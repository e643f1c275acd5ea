"""What a SAM 2 state shows in a frame: one region for each object."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from perception.sam2.types import masks_at
from perception.sam2_tracking.state import Sam2Config, Sam2State, Sam2Track
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import encode_mask, mask_box


def regions_of(state: Sam2State, frame: Frame, config: Sam2Config) -> tuple[Region, ...]:
    """Each object's mask at the frame's size; empty while it is out of view."""
    if not state.tracks:
        return ()
    batch = config.max_batch
    owner = _owner(state, frame.size, batch) if config.exclusive else None
    regions: list[Region] = []
    for start, tracks, logits in _sized(state, frame.size, batch):
        shown = logits > 0
        if owner is not None:
            rows = torch.arange(start, start + len(tracks), device=logits.device)
            shown &= owner == rows[:, None, None]
        regions.extend(
            _region(track, mask, frame)
            for track, mask in zip(tracks, shown.cpu().numpy(), strict=True)
        )
    return tuple(regions)


def _sized(
    state: Sam2State, size: tuple[int, int], batch: int
) -> Iterator[tuple[int, Sequence[Sam2Track], torch.Tensor]]:
    """Batches of objects, where each starts, and their [B, H, W] logits at the frame's size."""
    for start in range(0, len(state.tracks), batch):
        tracks = state.tracks[start : start + batch]
        yield start, tracks, masks_at([track.logits for track in tracks], size)


def _owner(state: Sam2State, size: tuple[int, int], batch: int) -> torch.Tensor:
    """[H, W] place of the object with the highest logit."""
    best = owner = None
    for start, _, logits in _sized(state, size, batch):
        top, place = logits.max(0)
        if best is None or owner is None:
            best, owner = top, place
        else:
            owner = torch.where(top > best, place + start, owner)
            best = torch.maximum(best, top)
    assert owner is not None, "there is at least one object"
    return owner


def _region(track: Sam2Track, mask: Mask, frame: Frame) -> Region:
    score = 0.0
    if track.presence > 0 and mask.any():
        score = min(1.0, max(0.0, track.quality)) / (1 + math.exp(-min(track.presence, 50.0)))
    return Region(
        track.track_id, frame.pts_ns, encode_mask(np.asarray(mask)), mask_box(mask), score
    )
