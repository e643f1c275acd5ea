"""Trackers behind one face for `foveal track`: any prompt in, regions out, the state inside."""

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from foveal.config.models import KINDS, MaskletSettings
from foveal.setup.trackers import open_sam2
from perception.masks.prompts import BoxPrompt, MaskPrompt, Prompt, checked
from stream.errors import PromptError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.geometry import encode_mask, mask_box

if TYPE_CHECKING:
    from perception.features.backbone import Features
    from perception.masks.cutter import Cutter

MAX_OBJECTS = 64


class Follower(Protocol):
    """A tracker with its state: prompts and frames in, regions out."""

    def start(self, frame: Frame, prompt: Prompt) -> int: ...

    def stop(self, track_id: int) -> None: ...

    def follow(self, frame: Frame) -> tuple[Region, ...]: ...

    def soon(self, frame: Frame) -> None: ...


def open_follower(settings: MaskletSettings) -> Follower:
    """The tracker that the settings name; raises AssetError when its weights are out of reach."""
    sam2 = settings.tracker.partition(":")[0] in KINDS
    return Sam2Follower(settings) if sam2 else MaskFollower(settings)


class MaskFollower:
    """The embedded tracker, or an extension's; a box or point becomes a mask first."""

    def __init__(self, settings: MaskletSettings) -> None:
        from foveal.setup.cutters import load_cutter
        from foveal.setup.retrieval.search import load_backbone
        from foveal.setup.trackers import open_tracker
        from perception.device import resolve_device
        from perception.tracking.settings import TrackerConfig

        device = resolve_device(settings.device)
        self._backbone, self._cutter = load_backbone(device=device), load_cutter(device)
        config = TrackerConfig(max_tracks=MAX_OBJECTS)
        self._tracker = open_tracker(settings, config, self._backbone, MAX_OBJECTS)
        self._state = self._tracker.init_state()
        self._fresh: dict[int, Region] = {}  # as they were prompted, until their frame is shown

    def start(self, frame: Frame, prompt: Prompt) -> int:
        """Begin a masklet; raises PromptError for an unusable prompt.

        One of those is a thing that the tracker would lose in this very frame.
        """
        features = self._backbone.features(frame.image)
        mask = to_mask(checked(prompt, frame.size), frame, features, self._cutter)
        state, track_id = self._tracker.add(self._state, frame, features, mask)
        _, regions = self._tracker.step(state, frame, features)
        seen = next(region for region in regions if region.track_id == track_id)
        if seen.box is None:
            raise PromptError(_too_small(mask))
        self._state = state
        self._fresh[track_id] = replace(seen, mask=encode_mask(mask), box=mask_box(mask))
        return track_id

    def stop(self, track_id: int) -> None:
        """Forget a masklet."""
        self._state = self._tracker.remove(self._state, track_id)

    def follow(self, frame: Frame) -> tuple[Region, ...]:
        """One region for each masklet; in the frame it was prompted in, the prompt's own mask."""
        features = self._backbone.features(frame.image)
        self._state, regions = self._tracker.step(self._state, frame, features)
        fresh, self._fresh = self._fresh, {}
        return tuple(fresh.get(region.track_id, region) for region in regions)

    def soon(self, frame: Frame) -> None:
        """This frame comes next; nothing to prepare."""


class Sam2Follower:
    """The streaming SAM 2 tracker."""

    def __init__(self, settings: MaskletSettings) -> None:
        self._tracker = open_sam2(settings, MAX_OBJECTS)
        self._state = self._tracker.init_state()

    def start(self, frame: Frame, prompt: Prompt) -> int:
        """Begin a masklet; raises PromptError for an unusable prompt."""
        self._state, track_id = self._tracker.add(self._state, frame, None, prompt)
        return track_id

    def stop(self, track_id: int) -> None:
        """Forget a masklet."""
        self._state = self._tracker.remove(self._state, track_id)

    def follow(self, frame: Frame) -> tuple[Region, ...]:
        """One region for each masklet."""
        self._state, regions = self._tracker.step(self._state, frame)
        return regions

    def soon(self, frame: Frame) -> None:
        """This frame comes next: its way to the device begins."""
        self._tracker.prefetch(frame)


def _too_small(mask: Mask) -> str:
    x0, y0, x1, y1 = mask_box(mask) or (0, 0, 0, 0)
    return (
        f"expected a thing that the tracker can carry, got one of {x1 - x0} x {y1 - y0} pixels "
        "that it loses at once; give a larger part, or use --tracker sam2:ID"
    )


def to_mask(prompt: Prompt, frame: Frame, features: "Features", cutter: "Cutter") -> Mask:
    """[H, W] mask of a prompt on this frame, for a tracker that takes only masks."""
    if isinstance(prompt, MaskPrompt):
        return prompt.mask
    if isinstance(prompt, BoxPrompt):
        return cutter.from_box(frame.image, prompt.box)
    return cutter.from_points(frame.image, prompt, features)
