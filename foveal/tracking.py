"""Follow prompted things through a recording: what `foveal track` does."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from foveal.annotate import draw
from foveal.annotated_video import AnnotatedVideo
from foveal.assets import asset_path
from foveal.search_setup import BACKBONE
from perception.backbone import Backbone, Features
from perception.prompts import BoxPrompt, MaskPrompt, Prompt, checked, mask_point, positive_points
from perception.segment import mask_from_box, mask_from_point
from perception.tracker import EmbeddedTracker
from stream.clock import NS_PER_S, MonotonicClock, VirtualClock
from stream.errors import BadFrame, ConfigError, OutputError, SourceError
from stream.events import Region
from stream.frame import Frame, Mask
from stream.masks import decode_mask
from stream.playback import PlaybackOptions
from stream.source import open_source

MIN_VIDEO_HEIGHT, MAX_VIDEO_HEIGHT = 360, 720
OnFrame = Callable[[int, int | None], None]


class Follower(Protocol):
    """A tracker with its state: prompts and frames in, regions out."""

    def start(self, frame: Frame, prompt: Prompt) -> int: ...

    def follow(self, frame: Frame) -> tuple[Region, ...]: ...


@dataclass(frozen=True, slots=True)
class TrackRequest:
    """What to follow, and where the results go."""

    clip: Path
    out: Path
    prompts: tuple[Prompt, ...]
    at_ns: int = 0
    tracker: str = "embedded"  # or sam2:NAME, a hub id, a folder, or a sam2 package's .pt
    duration_ns: int | None = None
    image_size: int | None = None  # of SAM 2
    precision: str = "float32"  # of SAM 2
    device: str = "cpu"  # of SAM 2
    video: bool = True


@dataclass(slots=True)
class _Tally:
    frames: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)  # id -> frames in view


class EmbeddedFollower:
    """The embedded tracker; a box or point becomes a mask by edges and feature similarity."""

    def __init__(self) -> None:
        self._backbone = Backbone.load(asset_path(*BACKBONE))
        self._tracker = EmbeddedTracker(self._backbone)
        self._state = self._tracker.init_state()

    def start(self, frame: Frame, prompt: Prompt) -> int:
        """Begin a masklet; raises PromptError for an unusable prompt."""
        features = self._backbone.features(frame.image)
        mask = to_mask(checked(prompt, frame.size), frame, features)
        self._state, track_id = self._tracker.add(self._state, frame, features, mask)
        return track_id

    def follow(self, frame: Frame) -> tuple[Region, ...]:
        """One region for each masklet."""
        features = self._backbone.features(frame.image)
        self._state, regions = self._tracker.step(self._state, frame, features)
        return regions


class Sam2Follower:
    """The streaming SAM 2 tracker."""

    def __init__(self, name: str, request: TrackRequest) -> None:
        from perception.sam2_load import load_sam2_tracker

        self._tracker = load_sam2_tracker(
            name,
            image_size=request.image_size,
            precision=request.precision,  # type: ignore[arg-type]  # the parser allows these only
            device=request.device,
        )
        self._state = self._tracker.init_state()

    def start(self, frame: Frame, prompt: Prompt) -> int:
        """Begin a masklet; raises PromptError for an unusable prompt."""
        self._state, track_id = self._tracker.add(self._state, frame, None, prompt)
        return track_id

    def follow(self, frame: Frame) -> tuple[Region, ...]:
        """One region for each masklet."""
        self._state, regions = self._tracker.step(self._state, frame)
        return regions


def open_follower(request: TrackRequest) -> Follower:
    """The tracker that a request names; raises ConfigError for an unknown one."""
    kind, _, name = request.tracker.partition(":")
    if kind == "embedded" and not name:
        return EmbeddedFollower()
    if kind in ("sam2", "edgetam") and name:
        return Sam2Follower(name, request)
    raise ConfigError(
        f"expected --tracker embedded or sam2:PATH_OR_HUB_ID, got {request.tracker!r}"
    )


def to_mask(prompt: Prompt, frame: Frame, features: Features) -> Mask:
    """[H, W] mask of a prompt on this frame, for a tracker that takes only masks."""
    if isinstance(prompt, MaskPrompt):
        return prompt.mask
    if isinstance(prompt, BoxPrompt):
        return mask_from_box(frame.image, prompt.box)
    x, y = positive_points(prompt)[0]
    return mask_from_point(frame.image, (int(x), int(y)), features)


async def follow_clip(request: TrackRequest, on_frame: OnFrame | None = None) -> dict[str, Any]:
    """Follow the prompts to the clip's end; returns the summary it also writes.

    Raises SourceError when no frame lies at or after the prompt's time, PromptError for an
    unusable prompt, OutputError when --out cannot be written.
    """
    recording = open_source(
        request.clip,
        VirtualClock(),
        PlaybackOptions(rate=0, start_offset_ns=request.at_ns, duration_ns=request.duration_ns),
    )
    frames = aiter(recording.frames())
    first = await anext(frames, None)
    if first is None:
        seconds = request.at_ns / NS_PER_S
        raise SourceError(
            f"expected a frame at or after {seconds:g} s in {request.clip}, the clip ends before"
        )
    follower = open_follower(request)
    ids = [follower.start(first, prompt) for prompt in request.prompts]
    tally, clock = _Tally(seen=dict.fromkeys(ids, 0)), MonotonicClock()
    began = clock.now_ns()
    with _Writer(request, first) as writer:
        async for frame in _chain(first, frames):
            _one(follower, frame, writer, tally)
            if on_frame is not None:
                on_frame(tally.frames, recording.info().frame_count)
    took_ns = max(1, clock.now_ns() - began)
    summary = _summary(request, tally, took_ns, dict(recording.faults))
    writer.finish(summary)
    return summary


def _one(follower: Follower, frame: Frame, writer: "_Writer", tally: _Tally) -> None:
    try:
        regions = follower.follow(frame)
    except BadFrame as error:  # the stream goes on without this frame
        reason = str(error)
        tally.refused[reason] = tally.refused.get(reason, 0) + 1
        return
    tally.frames += 1
    for region in regions:
        tally.seen[region.track_id] += region.box is not None
    writer.write(frame, regions)


async def _chain(first: Frame, rest: AsyncIterator[Frame]) -> AsyncIterator[Frame]:
    yield first
    async for frame in rest:
        yield frame


class _Writer:
    """regions.jsonl and annotated.mp4."""

    def __init__(self, request: TrackRequest, first: Frame) -> None:
        self._out = request.out
        try:
            request.out.mkdir(parents=True, exist_ok=True)
            self._lines = (request.out / "regions.jsonl").open("w")
        except OSError as error:
            raise OutputError(
                f"expected to write into {request.out}: {error}; choose another --out"
            ) from error
        self._heights = (MIN_VIDEO_HEIGHT, MAX_VIDEO_HEIGHT)
        self._video: AnnotatedVideo | None = None
        if request.video:
            picture = draw(first, (), None, None, self._heights)
            size = (picture.shape[1], picture.shape[0])
            self._video = AnnotatedVideo(request.out / "annotated.mp4", size)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        if self._video is not None:
            self._video.close()

    def write(self, frame: Frame, regions: tuple[Region, ...]) -> None:
        """Add one frame."""
        record = {"pts_ns": frame.pts_ns, "regions": [region_json(one) for one in regions]}
        try:
            self._lines.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write regions.jsonl: {error}") from error
        if self._video is not None:
            picture = draw(frame, regions, None, None, self._heights)
            self._video.write(picture, frame.pts_ns)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary."""
        (self._out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def region_json(region: Region) -> dict[str, Any]:
    """Mask, box and point of one region; box and point are null while it is out of view."""
    mask = decode_mask(region.mask)
    return {
        "id": region.track_id,
        "score": round(region.score, 4),
        "box": list(region.box) if region.box else None,
        "point": list(mask_point(mask)) if region.box else None,
        "mask": region.mask.as_json(),
    }


def _summary(
    request: TrackRequest, tally: _Tally, took_ns: int, faults: dict[str, int]
) -> dict[str, Any]:
    return {
        "clip": str(request.clip),
        "tracker": request.tracker,
        "out": str(request.out),
        "frames": tally.frames,
        "fps": round(tally.frames * NS_PER_S / took_ns, 2),
        "in_view": {str(name): count for name, count in tally.seen.items()},
        "refused": tally.refused,
        "faults": faults,
    }
