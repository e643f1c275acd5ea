"""Masklets: keep many masks alive over a stream, with bounded memory.

The embedded tracker joins three cues in a window around each object: labels read over the
backbone's dense features from what is remembered of it, the last mask moved by optical flow, and
its colours. A lost object is looked for in the whole picture until it is found again.
"""

from dataclasses import replace

import cv2
import numpy as np
import torch

from perception.features.backbone import Backbone, Features
from perception.reid.reidentifier import FoundPlace, ReIdentifier
from perception.tracking.cues import Cues, FrameCues, Refiner, frame_cues, object_cues
from perception.tracking.flow import halved, make_grey, warp_whole
from perception.tracking.head import shipped_refiner
from perception.tracking.match import match_anywhere, match_near, memory_frame, regrid
from perception.tracking.regions import regions_of
from perception.tracking.renewal import MaskRenewer, renewed
from perception.tracking.roi import (
    LEVEL,
    RoiWindow,
    colour_bins,
    colour_model,
    crop,
    paste,
    window_around,
)
from perception.tracking.settings import TrackerConfig
from perception.tracking.state import Track, TrackerState, remember, shown_by
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask, SoftMask

__all__ = ["EmbeddedTracker", "Track", "TrackerConfig", "TrackerState"]

RETURN_LABEL = 0.6  # mean label under the mask of what comes back
SMALLEST_RETURN, LARGEST_RETURN = 0.15, 4.0  # of its largest remembered area, to be found again


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
        self._refiner = refiner or shipped_refiner(backbone.device)
        self.config = config or TrackerConfig()
        self._reid = ReIdentifier(self.config.reid)

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
        first, window, soft = shown_by(mask, key, self.config.match)
        colours = colour_model(colour_bins(crop(frame.image, window)), soft)
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

    def carrier(self) -> "EmbeddedTracker":
        """Follows masklets in a state of its own, for `adopt`; any thread may use it.

        It cuts no mask anew: when that is due depends on how far others have looked ahead.
        """
        return EmbeddedTracker(self._backbone, self.config, self._refiner)

    def adopt(
        self, state: TrackerState, other: TrackerState, track_id: int
    ) -> tuple[TrackerState, int]:
        """Take in a masklet of another state at the same frame; its id here.

        Raises PromptError for an unknown id, or too many masklets.
        """
        track = next((one for one in other.tracks if one.track_id == track_id), None)
        if track is None or len(state.tracks) >= self.config.max_tracks:
            raise PromptError(
                f"expected a masklet {track_id} of the other state and at most "
                f"{self.config.max_tracks} here, got {len(other.tracks)} and {len(state.tracks)}"
            )
        tracks = (*state.tracks, replace(track, track_id=state.next_id))
        grey = other.grey if state.grey is None else state.grey
        after = replace(state, tracks=tracks, grey=grey, next_id=state.next_id + 1)
        return after, state.next_id

    def step(
        self, state: TrackerState, frame: Frame, features: Features | None = None
    ) -> tuple[TrackerState, tuple[Region, ...]]:
        """Carry every masklet to this frame: one Region each, empty while the object is lost."""
        if not state.tracks:
            return state, ()
        with torch.inference_mode():
            key = self._key(frame, features)
            view = frame_cues(frame.image, key, state.grey)
            fitted = [self._fit(track, key) for track in state.tracks]
            lost = [track.track_id for track in fitted if not track.seen]
            # One search a frame, in turn: a search costs as much as following two objects.
            wanted = lost[state.turn % len(lost)] if lost else None
            tracks = self._follow(view, fitted, wanted)
            since, regions = state.since + 1, regions_of(tracks, frame)
            if self._renewer and self._due(self._renewer, since, frame):
                since = 0
                tracks = renewed(view, tracks, regions, self._renewer, self.config.match)
                regions = regions_of(tracks, frame)
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

    def _follow(
        self, view: FrameCues, tracks: list[Track], wanted: int | None
    ) -> tuple[Track, ...]:
        """Expected place, carried labels, cues, sharp mask; then judge each.

        `wanted` is the lost one that is looked for everywhere.
        """
        places = [self._expect(view, track, track.track_id == wanted) for track in tracks]
        live = [(index, place) for index, place in enumerate(places) if place is not None]
        cues = [object_cues(view, tracks[index], *place) for index, place in live]
        sharp = self._refiner(cues) if cues else []
        out = [replace(track, seen=False) for track in tracks]
        for (index, (_, window)), each, soft in zip(live, cues, sharp, strict=True):
            out[index] = self._judge(view, tracks[index], window, each, soft)
        return tuple(out)

    def _expect(
        self, view: FrameCues, track: Track, search: bool
    ) -> tuple[torch.Tensor, RoiWindow] | None:
        """`match_near`'s labels and the window to look at; None while the object is nowhere."""
        height, width = view.key.shape[-2:]
        last = paste(track.soft, track.window, *view.grey.shape)
        if track.seen and view.flow is not None:
            last = warp_whole(view.flow, last)
        cells = cv2.resize(last, (width, height), interpolation=cv2.INTER_AREA)
        expected = torch.from_numpy(cells).to(view.key.device)
        if search:
            found = self._reid.believed(self._seek(view.key, track))
            # Found nowhere: it may still come out again where it went out of sight.
            expected = expected if found is None else found
        memory = track.frames if track.seen else track.whole_frames
        match = match_near(view.key, expected, memory, self.config.match)
        where = 0.5 * (match[0] + expected).cpu().numpy()
        window = window_around(np.asarray(where, np.float32), 0.35)
        return None if window is None else (match, window)

    def _seek(self, key: torch.Tensor, track: Track) -> FoundPlace[torch.Tensor]:
        """[h, w] soft mask where the features [C, h, w] show a lost object, zero for nowhere.

        It is sought by its first frame and the last one that showed most of it.
        """
        wanted = max(float(frame.label.sum()) for frame in track.frames)
        areas = (SMALLEST_RETURN * wanted, LARGEST_RETURN * wanted)
        memory = [track.first, *track.whole_frames[1:][-1:]]
        found, likeness = match_anywhere(key, memory, self.config.match.temperature, areas)
        inside = found >= LEVEL
        clarity = float(found[inside].mean()) if inside.any() else 0.0
        return FoundPlace(found, likeness, clarity=clarity)

    def _judge(
        self, view: FrameCues, track: Track, window: RoiWindow, cues: Cues, soft: SoftMask
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

    def _fit(self, track: Track, key: torch.Tensor) -> Track:
        """Bring memory to the grid of a frame of another size."""
        size = (key.shape[-2], key.shape[-1])
        if track.first.key.shape[-2:] == key.shape[-2:]:
            return track
        label = regrid(track.first.label, size)
        first = memory_frame(regrid(track.first.key, size), label, self.config.match)
        return replace(track, first=first, recent=(), spaced=())
