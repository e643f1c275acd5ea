"""`foveal keyframes`: which frames of a recording are keyframes, and why."""

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foveal.jobs.contact_strips import ContactStrips
    from stream.frame import Keyframe
    from stream.keyframes.gates import KeyframeConfig
    from stream.sources.open import Recording

FROM_START, FROM_OFFSET = "frame", "frame_from_offset"  # what a frame's number counts from
HELP = "pick the keyframes of a recording and say why"
EPILOG = """examples:
  foveal keyframes walk.mp4
  foveal keyframes recording.vrs --json
  foveal keyframes frames/ --fps 10 --out runs/keyframes     # also writes contact strips

Frames are counted from what is read first: with --start-offset the JSON object calls the number
"frame_from_offset" and not "frame".
reasons: first; scene (a cut or a turn of the head, against the last frame); drift (slow change,
against the segment's start); interval (nothing happened for --max-gap seconds).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("clip", help="video file, image folder or Aria .vrs")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write contact strips (PNG) here")
    parser.add_argument("--start-offset", type=float, default=0.0, metavar="S")
    parser.add_argument("--duration", type=float, metavar="S")
    parser.add_argument("--min-gap", type=float, default=0.4, metavar="S", help="default 0.4")
    parser.add_argument("--max-gap", type=float, default=10.0, metavar="S", help="default 10")
    parser.add_argument("--fps", type=float, default=10.0, help="of an image folder (default 10)")
    parser.add_argument("--reader", choices=("pyav", "decord"), default="pyav")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the recording was read to its end."""
    import asyncio

    from foveal.jobs.contact_strips import ContactStrips
    from stream.writing import keep_apart

    if args.out is not None:
        keep_apart([args.out], [Path(args.clip)])  # strips would be pictures of the clip
    strips = ContactStrips(args.out) if args.out is not None else None
    recording, config = _open(args)
    counted = FROM_OFFSET if args.start_offset else FROM_START
    found, frames = asyncio.run(_select(recording, config, strips, counted))
    if strips is not None:
        strips.finish()
    document = {
        "clip": args.clip,
        "frames": frames,
        "keyframes": found,
        "reasons": dict(Counter(row["reason"] for row in found)),
        "faults": recording.faults,
        "strips": [str(path) for path in strips.written] if strips is not None else [],
    }
    if args.json:
        print(json.dumps(document))
    else:
        _print(document, counted)
    return 0


def _open(args: argparse.Namespace) -> "tuple[Recording, KeyframeConfig]":
    from stream.clock import VirtualClock
    from stream.keyframes.gates import KeyframeConfig
    from stream.sources.open import folder_rate, open_source
    from stream.sources.playback import PlaybackOptions

    config = KeyframeConfig(
        min_gap_ns=_ns(args.min_gap, "--min-gap"), max_gap_ns=_ns(args.max_gap, "--max-gap")
    )
    options = PlaybackOptions(
        rate=0,
        start_offset_ns=_ns(args.start_offset, "--start-offset"),
        duration_ns=None if args.duration is None else _ns(args.duration, "--duration"),
    )
    recording = open_source(
        args.clip, VirtualClock(), options, reader=args.reader, folder_fps=folder_rate(args.fps)
    )
    return recording, config


def _ns(seconds: float, option: str) -> int:
    from stream.clock import seconds_to_ns
    from stream.errors import ConfigError

    if not math.isfinite(seconds):
        raise ConfigError(f"expected {option} as a number of seconds, got {seconds}")
    return seconds_to_ns(seconds)


async def _select(
    recording: "Recording",
    config: "KeyframeConfig",
    strips: "ContactStrips | None",
    counted: str,
) -> tuple[list[dict[str, Any]], int]:
    """One row per keyframe, its number under the name `counted`; and the number of frames read."""
    from foveal.jobs.progress import progress
    from stream.keyframes.selector import KeyframeSelector

    selector = KeyframeSelector(config)
    state, found = selector.init_state(), []
    total = recording.info().frame_count
    with progress("opening", "keyframes") as advance:
        async for frame in recording.frames():
            state, keyframe = selector.step(state, frame)
            if keyframe is not None:
                found.append({counted: state.frames - 1, **_row(keyframe)})
                if strips is not None:
                    strips.add(frame.image, _label(found[-1]))
            advance(state.frames, total)
    return found, state.frames


def _row(keyframe: "Keyframe") -> dict[str, Any]:
    from stream.clock import NS_PER_S

    pts_ns = keyframe.frame.pts_ns
    return {
        "pts_ns": pts_ns,
        "pts_s": round(pts_ns / NS_PER_S, 3),
        "reason": keyframe.reason,
        "novelty": round(keyframe.novelty, 4),
    }


def _label(row: dict[str, Any]) -> str:
    return f"{row['pts_s']:.2f} s  {row['reason']} {row['novelty']:.2f}"


def _print(document: dict[str, Any], counted: str) -> None:
    print(f"{'frame':>7} {'time':>10}  {'reason':<8} novelty")
    for row in document["keyframes"]:
        print(f"{row[counted]:>7} {row['pts_s']:>8.3f} s  {row['reason']:<8} {row['novelty']:.3f}")
    print(f"{len(document['keyframes'])} keyframes in {document['frames']} frames")
    for cause, count in document["faults"].items():
        print(f"{cause}: {count}", file=sys.stderr)
    for path in document["strips"]:
        print(f"wrote {path}")
