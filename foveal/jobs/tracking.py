"""Follow prompted things through a recording: what `foveal track` does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foveal.config.models import MaskletSettings
from foveal.jobs.followers import Follower, open_follower
from foveal.output.track_writer import TrackWriter
from foveal.setup.threads import share_cores
from perception.masks.prompts import Prompt
from stream.clock import NS_PER_S, Clock, MonotonicClock, VirtualClock
from stream.errors import BadFrame, PromptError, SourceError
from stream.frame import Frame
from stream.sources.open import Recording, open_source
from stream.sources.playback import PlaybackOptions
from stream.sources.skipping import SkipPolicy, SkipState, decide

OnFrame = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class Cue:
    """Something to do at the first frame at or after a time: start an object, or stop it."""

    at_ns: int
    number: int  # the object's, as it is called in the results
    prompt: Prompt | None = None  # None: stop


@dataclass(frozen=True, slots=True, eq=False)
class TrackRequest:
    """What to follow, and where the results go."""

    clip: Path
    out: Path
    cues: tuple[Cue, ...]
    masklets: MaskletSettings = field(default_factory=MaskletSettings)
    duration_ns: int | None = None  # from the first cue
    video: bool = True
    skipping: SkipPolicy | None = None  # play at the clip's own pace and leave out late frames


@dataclass(slots=True)
class _Run:
    """What happened so far."""

    waiting: list[Cue]  # soonest first
    alive: dict[int, int] = field(default_factory=dict)  # the tracker's id -> the object's number
    seen: dict[int, int] = field(default_factory=dict)  # number -> frames in view
    frames: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # frames, by reason
    prompts: dict[int, str] = field(default_factory=dict)  # number -> why its prompt was refused
    skips: SkipState = field(default_factory=SkipState)
    last_ns: int = 0


async def follow_clip(request: TrackRequest, on_frame: OnFrame | None = None) -> dict[str, Any]:
    """Follow the cues to the clip's end; returns the summary it also writes.

    Frames are on disk when they are done, also when the run is cancelled. A prompt that cannot be
    used is refused and the others go on. Raises SourceError when no frame lies at or after a
    cue's time, PromptError when no prompt can be used, OutputError when --out cannot be written.
    """
    share_cores()
    cues = sorted(request.cues, key=lambda cue: (cue.at_ns, cue.prompt is None, cue.number))
    live = request.skipping is not None
    clock: Clock = MonotonicClock() if live else VirtualClock()
    start_ns = cues[0].at_ns
    options = PlaybackOptions(float(live), start_ns, request.duration_ns)
    recording = open_source(request.clip, clock, options)
    frames = aiter(recording.frames())
    first = await anext(frames, None)
    if first is None:
        raise _ended(request.clip, start_ns)
    follower, run = open_follower(request.masklets), _Run(cues)
    wall = MonotonicClock()
    with TrackWriter(request.out, request.clip, first, request.video) as writer:
        late = _lateness(clock, first)
        interrupted = True
        try:
            async for frame, coming in _pairs(first, frames, ahead=not live):
                if _skipped(request.skipping, run, frame, late(frame)):
                    continue
                if coming is not None:
                    follower.soon(coming)
                _one(follower, frame, writer, run)
                if on_frame is not None:
                    on_frame(run.frames, recording.info().frame_count)
                await asyncio.sleep(0)  # where a Ctrl-C arrives
            interrupted = False
        finally:
            summary = _summary(request, run, max(1, wall.now_ns()), recording, interrupted)
            writer.finish(summary)
    if run.waiting:
        raise _ended(request.clip, run.waiting[0].at_ns, request.out)
    return summary


def _one(follower: Follower, frame: Frame, writer: TrackWriter, run: _Run) -> None:
    try:
        _cue(follower, frame, run)
        regions = follower.follow(frame)
    except BadFrame as error:  # the stream goes on without this frame
        reason = str(error)
        run.refused[reason] = run.refused.get(reason, 0) + 1
        return
    run.frames, run.last_ns = run.frames + 1, frame.pts_ns
    named = tuple(replace(one, track_id=run.alive[one.track_id]) for one in regions)
    for region in named:
        run.seen[region.track_id] += region.box is not None
    writer.write(frame, named)


def _cue(follower: Follower, frame: Frame, run: _Run) -> None:
    """Do what is due; raises PromptError when the run has nothing to follow any more."""
    error: PromptError | None = None
    while run.waiting and run.waiting[0].at_ns <= frame.pts_ns:
        cue = run.waiting[0]
        if cue.prompt is None:
            _stop(follower, cue, run)
        else:
            try:
                run.alive[follower.start(frame, cue.prompt)] = cue.number
                run.seen[cue.number] = 0
            except PromptError as refused:
                error, run.prompts[cue.number] = refused, str(refused)
        run.waiting.pop(0)  # only now: a bad frame leaves it to the next one
    if error is not None and not run.seen and all(cue.prompt is None for cue in run.waiting):
        raise error


def _stop(follower: Follower, cue: Cue, run: _Run) -> None:
    for track_id, number in list(run.alive.items()):
        if number == cue.number:
            follower.stop(track_id)
            del run.alive[track_id]


def _skipped(policy: SkipPolicy | None, run: _Run, frame: Frame, late_ns: int) -> bool:
    """Whether to leave a frame out; one that a cue waits for never is."""
    if policy is None:
        return False
    needed = bool(run.waiting) and run.waiting[0].at_ns <= frame.pts_ns
    run.skips, taken = decide(policy, run.skips, late_ns, needed)
    return not taken


def _lateness(clock: Clock, first: Frame) -> Callable[[Frame], int]:
    """How far a frame is behind its time, counted from the first one's."""
    began_ns = clock.now_ns()
    return lambda frame: clock.now_ns() - began_ns - (frame.pts_ns - first.pts_ns)


async def _pairs(
    first: Frame, rest: AsyncIterator[Frame], ahead: bool
) -> AsyncIterator[tuple[Frame, Frame | None]]:
    """Each frame with the one after it; without `ahead` nobody waits for that one."""
    frame: Frame | None = first
    while frame is not None:
        coming = await anext(rest, None) if ahead else None
        yield frame, coming
        frame = coming if ahead else await anext(rest, None)


def _ended(clip: Path, at_ns: int, out: Path | None = None) -> SourceError:
    seconds = at_ns / NS_PER_S
    kept = f"; what was followed until there is in {out}" if out is not None else ""
    return SourceError(
        f"expected a frame at or after {seconds:g} s in {clip}, the clip ends before{kept}"
    )


def _summary(
    request: TrackRequest, run: _Run, took_ns: int, recording: Recording, interrupted: bool
) -> dict[str, Any]:
    return {
        "clip": str(request.clip),
        "tracker": request.masklets.tracker,
        "out": str(request.out),
        "frames": run.frames,
        "fps": round(run.frames * NS_PER_S / took_ns, 2),
        "end_s": round(run.last_ns / NS_PER_S, 3),
        "in_view": {str(name): count for name, count in run.seen.items()},
        "refused": run.refused,
        "refused_prompts": {str(name): reason for name, reason in run.prompts.items()},
        "skipped": run.skips.counts(),
        "faults": dict(recording.faults),
        "interrupted": interrupted,
    }
