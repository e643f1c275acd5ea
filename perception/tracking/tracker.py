"""Masklets: keep many masks alive over a stream, with bounded memory.

The embedded tracker joins three cues in a window around each object: labels read over the
backbone's dense features from what is remembered of it, the last mask moved by optical flow, and
its colours. A lost object is looked for in the whole picture until it is found again.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
import torch

from perception.features.backbone import Backbone, Features
from perception.tracking.cues import Cues, Refiner
from perception.tracking.flow import (
    Flow,
    Grey,
    backward_flow,
    halved,
    make_grey,
    residual,
    warp_whole,
    warp_window,
)
from perception.tracking.head import shipped_refiner
from perception.tracking.match import (
    Match,
    match_anywhere,
    match_near,
    memory_frame,
    regrid,
)
from perception.tracking.roi import (
    ROI,
    RoiWindow,
    colour_bins,
    colour_model,
    colour_odds,
    crop,
    paste,
    paste_part,
    window_around,
)
from perception.tracking.settings import TrackerConfig
from perception.tracking.state import Track, TrackerState, remember, replace_frame
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Image, Mask, SoftMask
from stream.geometry import decode_mask, encode_part, mask_box, overlap_slices

__all__ = ["EmbeddedTracker", "Track", "TrackerConfig", "TrackerState"]

LEVEL = 0.5  # soft mask that counts as the object
NOWHERE = ((0, 0, 0, 0), np.zeros((0, 0), np.float32))  # box and soft mask of what is out of sight
SMALLEST_RETURN, LARGEST_RETURN = 0.15, 4.0  # of its largest remembered area, to be found again
RETURN_LABEL = 0.6  # mean label under the mask of what comes back


class MaskRenewer(Protocol):
    """Cuts masks anew from the picture (`perception.tracking.renewal`)."""

    def __call__(self, image: Image, masks: list[Mask]) -> list[Mask | None]:
        """[H, W] masks -> the same things cut anew; None for what is not found as it was."""

    def look_ahead(self, image: Image) -> None:
        """Make now what depends on the picture alone; its masks will be asked for soon."""

    def ready(self, image: Image) -> bool:
        """Whether that was done."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one frame gives to all objects."""

    image: Image
    half: Image  # at half the size
    key: torch.Tensor  # [C, h, w]
    grey: Grey
    flow: Flow | None
    residual: SoftMask  # of the flow; one where there is none


class EmbeddedTracker:
    """Memory read, optical flow and colour on the shared backbone."""

    def __init__(
        self,
        backbone: Backbone,
        config: TrackerConfig | None = None,
        refiner: Refiner | None = None,
        renewer: MaskRenewer | None = None,
    ) -> None:
        """`refiner` is the shipped head unless given, such as `refine.blend`.

        `renewer` cuts all masks anew every `renew_every` frames, and when it has looked ahead;
        without it they are only carried.
        """
        self._renewer = renewer
        self._backbone = backbone
        self._refiner = refiner or shipped_refiner()
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
        key = self._key(frame, features)
        rows, cols = key.shape[-2:]
        full = mask.astype(np.float32)
        cells = cv2.resize(full, (cols, rows), interpolation=cv2.INTER_AREA)
        window = window_around(full, LEVEL)
        assert window is not None, "the mask is not empty"
        soft = crop(full, window)
        colours = colour_model(colour_bins(crop(frame.image, window)), soft)
        first = memory_frame(key, torch.from_numpy(cells).to(key.device), self.config.match)
        area = float(mask.mean())
        track = Track(state.next_id, first, (), (), colours, window, soft, area)
        grey = make_grey(halved(frame.image)) if state.grey is None else state.grey
        tracks = (*state.tracks, track)
        after = replace(state, tracks=tracks, grey=grey, next_id=state.next_id + 1)
        return after, track.track_id

    def remove(self, state: TrackerState, track_id: int) -> TrackerState:
        """Forget a masklet; an unknown id raises PromptError."""
        if all(track.track_id != track_id for track in state.tracks):
            known = [track.track_id for track in state.tracks]
            raise PromptError(f"expected one of the masklets {known}, got {track_id}")
        tracks = tuple(track for track in state.tracks if track.track_id != track_id)
        return replace(state, tracks=tracks, grey=state.grey if tracks else None)

    def doubt(self, state: TrackerState, track_id: int) -> TrackerState:
        """Hold a masklet that slid onto something else for lost, with its first frame only."""
        tracks = tuple(
            replace(track, recent=(), spaced=(), seen=False)
            if track.track_id == track_id
            else track
            for track in state.tracks
        )
        return replace(state, tracks=tracks)

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]:
        """Carry every masklet to this frame: one Region each, empty while the object is lost."""
        if not state.tracks:
            return state, ()
        with torch.inference_mode():
            key = self._key(frame, features)
            view = _view(frame.image, key, state.grey)
            fitted = [self._fit(track, key) for track in state.tracks]
            lost = [track.track_id for track in fitted if not track.seen]
            # One search a frame, in turn: a search costs as much as following two objects.
            wanted = lost[state.turn % len(lost)] if lost else None
            tracks = self._follow(view, fitted, wanted)
            since, regions = state.since + 1, _regions(tracks, frame)
            if self._renewer and self._due(self._renewer, since, frame):
                since = 0
                tracks = self._renew(view, tracks, regions, self._renewer)
                regions = _regions(tracks, frame)
        after = TrackerState(tracks, view.grey, state.next_id, state.turn + bool(lost), since)
        return after, regions

    @property
    def look_every(self) -> int:
        """Of how many frames one is worth looking ahead at; 0 for none."""
        return self.config.renew_every if self._renewer else 0

    def look_ahead(self, frame: Frame) -> None:
        """Make what `step` needs of this frame alone and takes long; masks are renewed there.

        Any thread may call it.
        """
        if self._renewer:
            self._renewer.look_ahead(frame.image)

    def _due(self, renewer: MaskRenewer, since: int, frame: Frame) -> bool:
        every = self.config.renew_every
        return every > 0 and (since >= every or renewer.ready(frame.image))

    def _key(self, frame: Frame, features: Features | None) -> torch.Tensor:
        features = features or self._backbone.features(frame.image, self.config.feature_rows)
        return features.dense.to(self._backbone.dtype)

    def _follow(self, view: View, tracks: list[Track], wanted: int | None) -> tuple[Track, ...]:
        """Expected place, carried labels, cues, sharp mask; then judge each.

        `wanted` is the lost one that is looked for everywhere.
        """
        places = [self._expect(view, track, track.track_id == wanted) for track in tracks]
        live = [(index, place) for index, place in enumerate(places) if place is not None]
        cues = [_cues(view, tracks[index], *place) for index, place in live]
        sharp = self._refiner(cues) if cues else []
        out = [replace(track, seen=False) for track in tracks]
        for (index, (_, window)), each, soft in zip(live, cues, sharp, strict=True):
            out[index] = self._judge(view, tracks[index], window, each, soft)
        return tuple(out)

    def _expect(self, view: View, track: Track, search: bool) -> tuple[Match, RoiWindow] | None:
        """Carried labels and the window to look at; None while the object is nowhere."""
        height, width = view.key.shape[-2:]
        last = paste(track.soft, track.window, *view.grey.shape)
        if track.seen and view.flow is not None:
            last = warp_whole(view.flow, last)
        cells = cv2.resize(last, (width, height), interpolation=cv2.INTER_AREA)
        expected = torch.from_numpy(cells).to(view.key.device)
        if search:
            found = self._search(view, track)
            # Found nowhere: it may still come out again where it went out of sight.
            expected = expected if found is None else found
        memory = track.frames if track.seen else track.whole_frames
        match = match_near(view.key, expected, memory, self.config.match)
        where = 0.5 * (match.both + expected).cpu().numpy()
        window = window_around(np.asarray(where, np.float32), 0.35)
        return None if window is None else (match, window)

    def _search(self, view: View, track: Track) -> torch.Tensor | None:
        """[h, w] soft mask of a lost object by its first and last frame; None where it is not."""
        wanted = max(float(frame.label.sum()) for frame in track.frames)
        areas = (SMALLEST_RETURN * wanted, LARGEST_RETURN * wanted)
        temperature = self.config.match.temperature
        memory = [track.first, *track.whole_frames[1:][-1:]]
        found, surety = match_anywhere(view.key, memory, temperature, areas)
        inside = found >= LEVEL
        label = float(found[inside].mean()) if inside.any() else 0.0
        sure = label >= self.config.return_score and surety >= self.config.return_surety
        return found if sure else None

    def _judge(
        self, view: View, track: Track, window: RoiWindow, cues: Cues, soft: SoftMask
    ) -> Track:
        """The object is here, and its memory is brought up to date, or it is lost."""
        config = self.config
        inside = soft >= LEVEL
        span = (window.x1 - window.x0) * (window.y1 - window.y0)
        area = float(inside.mean()) * span
        carried = np.maximum(cues.both, cues.first)
        score = float(carried[inside].mean()) if area else 0.0
        # What was out of sight must be surer, or anything there would be taken for it.
        wanted = config.min_score if track.seen else max(config.min_score, RETURN_LABEL)
        if area < config.min_area * track.area or score < wanted:
            return replace(track, seen=False)
        height, width = view.key.shape[-2:]
        fine = paste(soft, window, 2 * height, 2 * width)
        cells = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        label = torch.from_numpy(cells).to(view.key.device)
        label = torch.where(label < 0.02, torch.zeros_like(label), label)
        shown = memory_frame(view.key, label, config.match)
        track = remember(track, shown, config)
        fresh = colour_model(colour_bins(255 * cues.colour), soft)
        colours = (1 - config.colour_rate) * track.colours + config.colour_rate * fresh
        return replace(track, colours=colours, window=window, soft=soft, area=area, seen=True)

    def _renew(
        self,
        view: View,
        tracks: tuple[Track, ...],
        regions: tuple[Region, ...],
        renewer: MaskRenewer,
    ) -> tuple[Track, ...]:
        """Masks cut anew, in the places of those that were just remembered."""
        out, seen = list(tracks), [number for number, track in enumerate(tracks) if track.seen]
        fresh = renewer(view.image, [decode_mask(regions[number].mask) for number in seen])
        rows, cols = view.key.shape[-2:]
        for number, mask in zip(seen, fresh, strict=True):
            if mask is None:
                continue
            whole = mask.astype(np.float32)
            window = window_around(whole, LEVEL)
            assert window is not None, "a mask cut anew overlaps the one before"
            label = torch.from_numpy(cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA))
            shown = memory_frame(view.key, label.to(view.key.device), self.config.match)
            track = replace_frame(tracks[number], shown)
            soft, area = crop(whole, window), float(mask.mean())
            out[number] = replace(track, window=window, soft=soft, area=area)
        return tuple(out)

    def _fit(self, track: Track, key: torch.Tensor) -> Track:
        """Bring memory to the grid of a frame of another size."""
        size = (key.shape[-2], key.shape[-1])
        if track.first.key.shape[-2:] == key.shape[-2:]:
            return track
        label = regrid(track.first.label, size)
        first = memory_frame(regrid(track.first.key, size), label, self.config.match)
        return replace(track, first=first, recent=(), spaced=())


def _view(image: Image, key: torch.Tensor, before: Grey | None) -> View:
    half = halved(image)
    grey = make_grey(half)
    flow = None if before is None else backward_flow(grey, before)
    if flow is None or before is None:
        return View(image, half, key, grey, None, np.ones(grey.shape, np.float32))
    return View(image, half, key, grey, flow, residual(flow, grey, before))


def _cues(view: View, track: Track, match: Match, window: RoiWindow) -> Cues:
    large = (window.x1 - window.x0) * view.half.shape[1] > 2 * ROI  # there is no more to see
    colour = crop(view.half if large else view.image, window)
    moved = warp_window(view.flow, track.soft, track.window, window)
    labels = crop(match.maps.permute(1, 2, 0).cpu().numpy(), window)
    both, first, surety = (np.ascontiguousarray(labels[..., n]) for n in range(3))
    return Cues(
        track.track_id,
        window,
        colour / np.float32(255),
        both,
        first,
        moved if track.seen else both,
        crop(view.residual, window),
        colour_odds(track.colours, colour_bins(colour)),
        surety,
        view.key,
    )


def _regions(tracks: tuple[Track, ...], frame: Frame) -> tuple[Region, ...]:
    """Masks at the frame's size; where two claim a pixel, the stronger one has it."""
    parts = [paste_part(t.soft, t.window, *frame.size) if t.seen else NOWHERE for t in tracks]
    regions = []
    for number, (track, ((x0, y0, x1, y1), soft)) in enumerate(zip(tracks, parts, strict=True)):
        inside = soft >= LEVEL
        for place, other in parts[:number] + parts[number + 1 :]:
            mine, theirs = overlap_slices((x0, y0, x1, y1), place)
            inside[mine] &= soft[mine] >= other[theirs]
        code = encode_part(inside, (x0, y0), frame.size)
        near = mask_box(inside)
        box = None if near is None else (near[0] + x0, near[1] + y0, near[2] + x0, near[3] + y0)
        score = 0.0 if near is None else float(track.soft[track.soft >= LEVEL].mean())
        regions.append(Region(track.track_id, frame.pts_ns, code, box, score))
    return tuple(regions)
