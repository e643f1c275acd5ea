"""What the embedded tracker remembers of each object, and for how long."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from perception.tracking.flow import Grey
from perception.tracking.match import MemoryFrame, memory_frame
from perception.tracking.roi import LEVEL, RoiWindow, crop, window_around
from perception.tracking.settings import MatchConfig, TrackerConfig
from stream.frame import Mask, SoftMask


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object's own memory."""

    track_id: int
    first: MemoryFrame  # of the frame it was added in
    recent: tuple[
        MemoryFrame, ...
    ]  # of the last frames it was seen in; keys are shared between objects
    spaced: tuple[MemoryFrame, ...]  # from longer ago, `gap` frames apart
    colours: SoftMask  # [2, 4096] shares of each colour in and around it
    window: RoiWindow  # where it was last seen
    soft: SoftMask  # [ROI, ROI] its soft mask there
    area: float  # share of the frame, when last seen
    seen: bool = True
    gap: int = 4
    since: int = 0  # frames seen since the last spaced one

    @property
    def frames(self) -> list[MemoryFrame]:
        """All that is remembered, the first one first."""
        return [self.first, *self.spaced, *self.recent]

    @property
    def whole_frames(self) -> list[MemoryFrame]:
        """The first frame and those that show most of the object, not what was left of it."""
        areas = [float(frame.label.sum()) for frame in self.frames]
        wanted = 0.5 * max(areas)
        rest = zip(self.frames[1:], areas[1:], strict=True)
        return [self.first, *(frame for frame, area in rest if area >= wanted)]


@dataclass(frozen=True, slots=True, eq=False)
class TrackerState:
    """All live masklets; bounded by the frames of each and by `max_tracks`."""

    tracks: tuple[Track, ...] = ()
    grey: Grey | None = None  # the last frame, small
    next_id: int = 1
    turn: int = 0  # of the lost masklets, which of them is looked for next
    since: int = 0  # frames followed since masks were cut anew


def remember(track: Track, frame: MemoryFrame, config: TrackerConfig) -> Track:
    """Add a frame; when the spaced ones are full, every second one goes and the gap doubles."""
    recent = (*track.recent, frame)[-config.recent :]
    spaced, gap, since = track.spaced, track.gap, track.since + 1
    if since >= gap:
        spaced, since = (*spaced, frame), 0
        if len(spaced) > config.spaced and gap < config.max_gap:
            spaced, gap = spaced[1::2], 2 * gap
    return replace(track, recent=recent, spaced=spaced[-config.spaced :], gap=gap, since=since)


def replace_frame(track: Track, frame: MemoryFrame) -> Track:
    """The same memory with another frame in the last one's place."""
    last = track.recent[-1]

    def swapped(frames: tuple[MemoryFrame, ...]) -> tuple[MemoryFrame, ...]:
        return tuple(frame if each is last else each for each in frames)

    return replace(track, recent=swapped(track.recent), spaced=swapped(track.spaced))


def shown_by(
    mask: Mask, key: torch.Tensor, config: MatchConfig
) -> tuple[MemoryFrame, RoiWindow, SoftMask]:
    """What a [H, W] mask, not empty, gives a track: memory, and window and soft mask there."""
    rows, cols = key.shape[-2:]
    whole = mask.astype(np.float32)
    window = window_around(whole, LEVEL)
    assert window is not None, "the mask is not empty"
    label = torch.from_numpy(cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA))
    return memory_frame(key, label.to(key.device), config), window, crop(whole, window)
