"""Masklets: keep many masks alive over a stream, with bounded memory.

The embedded tracker propagates soft masks over the shared backbone's dense features from two kinds
of memory: the frame where an object was added (its look, shifted to where it is now) and the last
few frames. A lost object is looked for in the whole picture until its first look is found again.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

import cv2
import numpy as np
import torch

from perception.backbone import Backbone, Features
from perception.propagation import PropagationConfig, propagate, propagate_everywhere, shift
from perception.refine import Soft, make_guide, sharpen
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.masks import encode_mask, mask_box

TINY_LABEL = 1e-3  # soft labels below this are nothing


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """What is remembered and when an object counts as lost."""

    recent: int = 4  # frames of recent memory
    first_weight: float = 2.0  # the first look counts as this many recent frames
    max_tracks: int = 16
    present: float = 0.5  # soft label that counts as the object
    min_area: float = 0.08  # of the last seen area; below it the object is gone
    min_score: float = 0.6  # mean soft label under the mask
    return_score: float = 0.75  # the same, to take a lost object as found again
    propagation: PropagationConfig = field(default_factory=PropagationConfig)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object's own memory."""

    track_id: int
    key: torch.Tensor  # [C, h, w] dense features of the frame it was added in
    label: torch.Tensor  # [h, w] its soft mask there
    centre: tuple[float, float]  # row, column of that mask, in cells
    area: float  # cells, when last seen
    soft: torch.Tensor  # [h, w] its soft mask now; all zero while lost
    seen: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """One recent frame: features and every live object's soft mask."""

    key: torch.Tensor  # [C, h, w]
    labels: dict[int, torch.Tensor]  # track id -> [h, w]


@dataclass(frozen=True, slots=True, eq=False)
class TrackerState:
    """All live masklets; bounded by `recent` frames and `max_tracks` objects."""

    tracks: tuple[Track, ...] = ()
    recent: tuple[Memory, ...] = ()
    next_id: int = 1


class Tracker(Protocol):
    """What a session needs of any tracker."""

    def init_state(self) -> TrackerState: ...

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]: ...

    def add(
        self, state: TrackerState, frame: Frame, features: Features | None, mask: Mask
    ) -> tuple[TrackerState, int]: ...

    def remove(self, state: TrackerState, track_id: int) -> TrackerState: ...


class EmbeddedTracker:
    """Label propagation on the shared backbone; training-free."""

    def __init__(self, backbone: Backbone, config: TrackerConfig | None = None) -> None:
        self._backbone = backbone
        self.config = config or TrackerConfig()

    def init_state(self) -> TrackerState:
        """No masklets."""
        return TrackerState()

    def add(
        self, state: TrackerState, frame: Frame, features: Features | None, mask: Mask
    ) -> tuple[TrackerState, int]:
        """Start a masklet from a [H, W] mask of this frame; the others go on untouched.

        Raises PromptError on an empty mask, a wrong size, or too many masklets.
        """
        if mask.shape != frame.size:
            raise PromptError(f"expected a mask of the frame's size {frame.size}, got {mask.shape}")
        if not mask.any():
            raise PromptError("expected a mask with at least one pixel, got an empty one")
        if len(state.tracks) >= self.config.max_tracks:
            raise PromptError(
                f"expected at most {self.config.max_tracks} masklets; remove one before adding"
            )
        features = features or self._backbone.features(frame.image)
        key = features.dense
        rows, cols = key.shape[-2:]
        cells = cv2.resize(mask.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
        label = torch.from_numpy(cells).to(key)
        centre, area = _centre(label), float(label.sum())
        track = Track(state.next_id, key, label, centre, area, label)
        recent = _remember(state.recent, key, track)
        tracks = (*state.tracks, track)
        return TrackerState(tracks, recent, state.next_id + 1), track.track_id

    def remove(self, state: TrackerState, track_id: int) -> TrackerState:
        """Forget a masklet; an unknown id raises PromptError."""
        if all(track.track_id != track_id for track in state.tracks):
            known = [track.track_id for track in state.tracks]
            raise PromptError(f"expected one of the masklets {known}, got {track_id}")
        tracks = tuple(track for track in state.tracks if track.track_id != track_id)
        return replace(state, tracks=tracks)

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]:
        """Carry every masklet to this frame: one Region each, empty while the object is lost."""
        if not state.tracks:
            return state, ()
        with torch.inference_mode():
            key = (features or self._backbone.features(frame.image)).dense
            state = _fit(state, key)
            softs = self._propagate(state, key)
            tracks = tuple(
                self._update(track, soft, key)
                for track, soft in zip(state.tracks, softs, strict=True)
            )
        labels = {track.track_id: track.soft for track in tracks if track.seen}
        recent = (*state.recent, Memory(key, labels))[-self.config.recent :]
        return TrackerState(tracks, recent, state.next_id), _regions(tracks, frame)

    def _propagate(self, state: TrackerState, key: torch.Tensor) -> list[torch.Tensor]:
        """Each object's soft mask [h, w] from its own first look and the shared recent frames."""
        ids = [track.track_id for track in state.tracks]
        ones, zeros = torch.ones_like(key[0]), torch.zeros_like(key[0])
        keys = [memory.key for memory in state.recent]
        values = [
            torch.stack([*(memory.labels.get(i, zeros) for i in ids), ones])
            for memory in state.recent
        ]
        shown = len(ids) + 1
        for track in state.tracks:
            rows, cols = _offset(track)
            keys.append(shift(track.key, rows, cols))
            inside = shift(torch.stack([track.label, ones]), rows, cols)
            values.append(torch.cat([inside, ones.expand(shown - 2, -1, -1)]))
        sums = propagate(key, torch.stack(keys), torch.stack(values), self.config.propagation)
        past = len(state.recent)
        softs = []
        for index, track in enumerate(state.tracks):
            known = [m for m in range(past) if track.track_id in state.recent[m].labels]
            first = sums[past + index]
            top = sums[known, index].sum(0) + self.config.first_weight * first[0]
            bottom = sums[known, shown - 1].sum(0) + self.config.first_weight * first[1]
            soft = top / (bottom + 1e-12)
            # Tiny labels would shrink to denormals, which are a hundred times slower to multiply.
            softs.append(torch.where(soft < TINY_LABEL, zeros, soft))
        return softs

    def _update(self, track: Track, soft: torch.Tensor, key: torch.Tensor) -> Track:
        """Judge the new soft mask: the object is here, lost, or found again."""
        config, found = self.config, config_score(soft, self.config.present)
        area, score = found
        if track.seen and area >= config.min_area * track.area and score >= config.min_score:
            return replace(track, area=area, soft=soft)
        ones = torch.ones_like(track.label)
        values = torch.stack([track.label, ones])
        sums = propagate_everywhere(key, track.key, values, config.propagation.temperature)
        anywhere = sums[0] / (sums[1] + 1e-12)
        area, score = config_score(anywhere, config.present)
        first_area = float(track.label.sum())
        if 0.25 * first_area <= area <= 4 * first_area and score >= config.return_score:
            return replace(track, area=area, soft=_main_blob(anywhere), seen=True)
        return replace(track, soft=torch.zeros_like(soft), seen=False)


def config_score(soft: torch.Tensor, present: float) -> tuple[float, float]:
    """Area in cells and mean soft label of what counts as the object."""
    inside = soft >= present
    area = float(inside.sum())
    return area, float(soft[inside].mean()) if area else 0.0


def _main_blob(soft: torch.Tensor) -> torch.Tensor:
    """Keep the largest connected part, so that a look-alike elsewhere is not taken in."""
    inside = (soft >= 0.5).cpu().numpy().astype(np.uint8)
    count, marks, stats, _ = cv2.connectedComponentsWithStats(inside)
    if count <= 2:
        return soft
    main = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    keep = cv2.dilate((marks == main).astype(np.uint8), np.ones((3, 3), np.uint8))
    return soft * torch.from_numpy(keep).to(soft)


def _centre(label: torch.Tensor) -> tuple[float, float]:
    weight = label / label.sum().clamp(min=1e-6)
    rows = torch.arange(label.shape[0], device=label.device, dtype=label.dtype)
    cols = torch.arange(label.shape[1], device=label.device, dtype=label.dtype)
    return float((weight.sum(1) * rows).sum()), float((weight.sum(0) * cols).sum())


def _offset(track: Track) -> tuple[int, int]:
    """Whole cells from where the object was added to where it is."""
    if not track.seen:
        return 0, 0
    row, col = _centre(track.soft * (track.soft >= 0.5))
    return round(row - track.centre[0]), round(col - track.centre[1])


def _remember(recent: tuple[Memory, ...], key: torch.Tensor, track: Track) -> tuple[Memory, ...]:
    """Write a new object into the memory of its own frame, if that frame is the newest one."""
    if recent and recent[-1].key is key:
        labels = {**recent[-1].labels, track.track_id: track.label}
        return (*recent[:-1], Memory(key, labels))
    return recent


def _fit(state: TrackerState, key: torch.Tensor) -> TrackerState:
    """Bring memory to the grid of a frame of another size."""
    size = (key.shape[-2], key.shape[-1])
    if all(track.key.shape[-2:] == key.shape[-2:] for track in state.tracks):
        return state

    def grid(maps: torch.Tensor) -> torch.Tensor:
        flat = maps.reshape(1, -1, *maps.shape[-2:])
        out = torch.nn.functional.interpolate(flat, size, mode="bilinear", align_corners=False)
        return out.reshape(*maps.shape[:-2], *size)

    tracks = []
    for track in state.tracks:
        label = grid(track.label)
        moved = replace(
            track, key=grid(track.key), label=label, soft=grid(track.soft), centre=_centre(label)
        )
        tracks.append(replace(moved, area=float(moved.soft.sum()) or float(label.sum())))
    return TrackerState(tuple(tracks), (), state.next_id)


def _regions(tracks: tuple[Track, ...], frame: Frame) -> tuple[Region, ...]:
    """Sharp masks at the frame's size; where two claim a pixel, the stronger one has it."""
    guide = make_guide(frame.image)
    softs = [_sharp(track, guide) for track in tracks]
    best = np.maximum.reduce(softs)
    regions = []
    for track, soft in zip(tracks, softs, strict=True):
        small = (soft >= 0.5) & (soft >= best)
        mask = _to_frame(np.where(small, soft, np.minimum(soft, 0.49)), frame)
        box = mask_box(mask)
        score = float(soft[small].mean()) if small.any() and track.seen else 0.0
        regions.append(Region(track.track_id, frame.pts_ns, encode_mask(mask), box, score))
    return tuple(regions)


def _sharp(track: Track, guide: Soft) -> Soft:
    if not track.seen:
        return np.zeros_like(guide)
    return sharpen(np.asarray(track.soft.cpu().numpy(), dtype=np.float32), guide)


def _to_frame(soft: Soft, frame: Frame) -> Mask:
    height, width = frame.size
    return np.asarray(cv2.resize(soft, (width, height)) >= 0.5)
