"""Masklets by SAM 2 or EdgeTAM on an endless stream: bounded memory, any object at any time."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from perception.features.backbone import Features
from perception.masks.prompts import BoxPrompt, MaskPrompt, Prompt, checked
from perception.sam2.networks import Sam2Networks
from perception.sam2.types import FrameFeatures
from perception.sam2_tracking.policies import MemoryRules, Outcome
from perception.sam2_tracking.regions import regions_of
from perception.sam2_tracking.returns import ReturnRules
from perception.sam2_tracking.segmenter import Segmenter
from perception.sam2_tracking.state import (
    Memory,
    Sam2Config,
    Sam2State,
    Sam2Track,
    state_bytes,
    track_bytes,
)
from stream.errors import BadFrame, PromptError
from stream.events import Region
from stream.frame import Frame, Mask

ASPECT_TOLERANCE = 0.02  # SAM 2 squares every frame, so a new size of the same shape is harmless


class Sam2Tracker:
    """A Tracker over SAM 2's networks; the state is the caller's.

    Frames come in order of `pts_ns`. Objects can be added, corrected and removed at any frame while
    the others are followed; each costs a fixed amount of memory however long the stream is.
    """

    def __init__(self, networks: Sam2Networks, config: Sam2Config | None = None) -> None:
        self.networks = networks
        self.config = config or Sam2Config()
        self._rules = MemoryRules(self.config, networks.memory_frames, networks.pointer_frames)
        self.segmenter = Segmenter(networks, self._rules, self.config.max_batch)
        self._returns: ReturnRules | None = None
        if self.config.reidentify:
            self._returns = ReturnRules(networks.grid, self._rules, self.config.reid)

    def init_state(self) -> Sam2State:
        """No masklets."""
        return Sam2State()

    def prefetch(self, frame: Frame) -> None:
        """Start copying a frame to the device that `step` will be given soon."""
        self.networks.stage(frame.image)

    def step(
        self, state: Sam2State, frame: Frame, features: Features | None = None
    ) -> tuple[Sam2State, tuple[Region, ...]]:
        """Carry every masklet to this frame: one Region each, empty while the object is away.

        An object that was added or corrected on this frame keeps that answer, and a second call
        with the same frame repeats the first. `features` are the shared backbone's; SAM 2 has its
        own and does not read them. Raises BadFrame for a frame older than the newest one or of
        another shape; the state is untouched then.
        """
        del features
        with torch.inference_mode():
            state = self._advance(state, frame)
            waiting = [track for track in state.tracks if track.index < state.index]
            if waiting:
                state, seen = self._look(state, frame)
                followed = self.segmenter.follow(waiting, seen, state.index)
                if self._returns is not None:
                    self._reidentify(self._returns, waiting, followed, seen, frame.size)
                tracks = tuple(followed.get(track.track_id, track) for track in state.tracks)
                state = replace(state, tracks=tracks)
            return state, regions_of(state, frame, self.config)

    def add(
        self, state: Sam2State, frame: Frame, features: Features | None, prompt: Prompt | Mask
    ) -> tuple[Sam2State, int]:
        """Start a masklet from a mask, box or points on this frame; the others go on untouched.

        Raises PromptError for an unusable prompt, one that finds nothing, or too many masklets
        (`max_tracks`, `state_budget_bytes`).
        """
        del features
        given = checked(prompt, frame.size)
        if len(state.tracks) >= self.config.max_tracks:
            raise PromptError(
                f"expected at most {self.config.max_tracks} masklets; remove one before adding"
            )
        with torch.inference_mode():
            state, seen = self._look(self._advance(state, frame), frame)
            outcome = self.segmenter.prompted(seen, given, frame.size, None)
        self._require_found(outcome, given)
        memory = Memory(state.index, outcome.tokens, outcome.pointer)
        shown = (outcome.logits, outcome.presence, outcome.quality)
        track = Sam2Track(state.next_id, (memory,), (), (), state.index, *shown)
        track = self._described(track, seen)
        self._require_room(state, track)
        tracks = (*state.tracks, track)
        return replace(state, tracks=tracks, next_id=state.next_id + 1), track.track_id

    def correct(
        self, state: Sam2State, frame: Frame, track_id: int, prompt: Prompt | Mask
    ) -> Sam2State:
        """Mend a masklet on this frame; points and a box refine its mask, a mask replaces it.

        Raises PromptError for an unknown id or an unusable prompt.
        """
        given = checked(prompt, frame.size)
        self._find(state, track_id)
        state, _ = self.step(state, frame)
        track = self._find(state, track_id)
        with torch.inference_mode():
            state, seen = self._look(state, frame)
            outcome = self.segmenter.prompted(seen, given, frame.size, track)
        self._require_found(outcome, given)
        mended = self._described(self._rules.mended(track, outcome), seen)
        tracks = tuple(mended if t.track_id == track_id else t for t in state.tracks)
        return replace(state, tracks=tracks)

    def remove(self, state: Sam2State, track_id: int) -> Sam2State:
        """Forget a masklet; an unknown id raises PromptError."""
        self._find(state, track_id)
        tracks = tuple(track for track in state.tracks if track.track_id != track_id)
        return replace(state, tracks=tracks)

    def _find(self, state: Sam2State, track_id: int) -> Sam2Track:
        for track in state.tracks:
            if track.track_id == track_id:
                return track
        known = [track.track_id for track in state.tracks]
        raise PromptError(f"expected one of the masklets {known}, got {track_id}")

    def _advance(self, state: Sam2State, frame: Frame) -> Sam2State:
        """Make `frame` the newest one; its number grows by one unless it already is."""
        if state.pts_ns == frame.pts_ns:
            return state
        if state.pts_ns is not None and frame.pts_ns < state.pts_ns:
            raise BadFrame(
                f"expected a frame after {state.pts_ns} ns, got one of {frame.pts_ns} ns; "
                "start a new state for another stream"
            )
        if state.size is not None and state.tracks and not self.config.any_shape:
            old, new = state.size[1] / state.size[0], frame.size[1] / frame.size[0]
            if abs(new / old - 1) > ASPECT_TOLERANCE:
                raise BadFrame(
                    f"expected frames of the shape of {state.size[1]}x{state.size[0]}, got "
                    f"{frame.size[1]}x{frame.size[0]}; start a new state and add the objects again"
                )
        return replace(
            state, index=state.index + 1, pts_ns=frame.pts_ns, size=frame.size, features=None
        )

    def _look(self, state: Sam2State, frame: Frame) -> tuple[Sam2State, FrameFeatures]:
        """The frame's image features, computed at most once for all objects and calls."""
        seen = state.features or self.networks.features(frame.image)
        return replace(state, features=seen), seen

    def _described(self, track: Sam2Track, seen: FrameFeatures) -> Sam2Track:
        if self._returns is None:
            return track
        with torch.inference_mode():
            return self._returns.started(track, self._returns.seeker.maps(seen.tokens))

    def _reidentify(
        self,
        returns: ReturnRules,
        olds: Sequence[Sam2Track],
        followed: dict[int, Sam2Track],
        seen: FrameFeatures,
        size: tuple[int, int],
    ) -> None:
        """Compare followed objects with what they look like, and seek those that are away."""
        maps = None
        for old in olds:
            new = followed[old.track_id]
            if not returns.concerned(old, new):
                continue
            maps = returns.seeker.maps(seen.tokens) if maps is None else maps
            new = returns.judged(old, new, maps)
            box = returns.sought(new, maps, size)
            if box is not None:
                answer = self.segmenter.prompted(seen, box, size, new, refine=False)
                new = returns.taken(new, answer, maps)
            followed[old.track_id] = new

    def _require_found(self, outcome: Outcome, prompt: Prompt) -> None:
        if isinstance(prompt, MaskPrompt):
            return
        if not outcome.sound or outcome.presence <= 0 or not bool((outcome.logits > 0).any()):
            kind = "box" if isinstance(prompt, BoxPrompt) else "points"
            raise PromptError(
                f"expected something to segment at the {kind} {prompt}, found nothing there; "
                "give a mask, or another place"
            )

    def _require_room(self, state: Sam2State, track: Sam2Track) -> None:
        """Refuse an object whose full memory would not fit the budget."""
        budget = self.config.state_budget_bytes
        if budget is None:
            return
        frames = self.networks.memory_frames + 1 + self.config.max_conditioning
        full = frames * track_bytes(track) // max(1, len(track.prompted))
        fixed = state_bytes(replace(state, tracks=()))
        need = fixed + full * (len(state.tracks) + 1)
        if need > budget:
            fits = max(0, (budget - fixed) // full)
            raise PromptError(
                f"expected at most {fits} masklets in a state of {budget} bytes, got one more "
                f"({need} bytes); remove one, or raise state_budget_bytes"
            )
