"""`foveal track`: follow things through a recording, from boxes, points or masks."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foveal.jobs.tracking import TrackRequest
    from perception.masks.prompts import Prompt

HELP = "follow things through a recording by mask, box or point"
EPILOG = """examples:
  foveal track walk.mp4 --at 2.0 --box 410,220,530,380 --out runs/cup
  foveal track walk.mp4 --at 2 --point 470,300 --point 120,80 --at 7.5 --mask lid.png --remove 1
  foveal track walk.mp4 --mask cup.png --tracker sam2:facebook/sam2.1-hiera-tiny --image-size 512
  foveal track walk.mp4 --box 10,10,90,90 --tracker sam2:checkpoints/sam2.1_hiera_tiny.pt
  foveal track walk.mp4 --box 10,10,90,90 --tracker edgetam:models/edgetam --live

Each --box, --point and --mask is an object of its own, numbered from 1 in the order given. --at
holds for what follows it (the first also for what stands before it), so objects can start, and
--remove stop them, at different times. A mask is a picture of the frame's size; what is not black
is the thing. A point X,Y may be joined by others of the same thing: X,Y;X,Y, and by points off it:
X,Y;-X,Y.

Results, on disk frame by frame, so that Ctrl-C keeps what is done: regions.jsonl (one line a frame:
mask as run lengths, box, point, score), annotated.mp4, and at the end summary.json.
"""


@dataclass(slots=True)
class _Given:
    """Objects and times as they stand on the command line."""

    time: float | None = None
    cues: list[tuple[float | None, str, str]] = field(default_factory=list)


class _InOrder(argparse.Action):
    """Keeps the order of --at, --box, --point, --mask and --remove."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        given: _Given = namespace.given or _Given()
        namespace.given = given
        if self.const == "at":
            given.time = float(str(values))
            given.cues = [(given.time if t is None else t, k, v) for t, k, v in given.cues]
        else:
            given.cues.append((given.time, str(self.const), str(values)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("clip", type=Path, help="video file, image folder or Aria .vrs")
    _add(parser, "--at", "S", "seconds into the clip of what follows (default 0)", float)
    _add(parser, "--box", "X0,Y0,X1,Y1", "start an object by its box in pixels")
    _add(parser, "--point", "X,Y[;[-]X,Y]", "start an object by points on (and off) it")
    _add(parser, "--mask", "PNG", "start an object by its mask")
    _add(parser, "--remove", "N", "stop following object N", int)
    parser.add_argument("--out", type=Path, help="output folder (default runs/track-<clip name>)")
    parser.add_argument(
        "--tracker",
        default="embedded",
        metavar="NAME",
        help="embedded, sam2:ID, edgetam:ID, sam3:ID",
    )
    parser.add_argument("--duration", type=float, metavar="S", help="stop after this long")
    parser.add_argument(
        "--live", action="store_true", help="at the clip's own pace; leave out frames that are late"
    )
    parser.add_argument("--no-video", action="store_true", help="do not write annotated.mp4")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    own = parser.add_argument_group("of sam2, edgetam and sam3")
    own.add_argument(
        "--image-size", type=int, metavar="PX", help="1024 (default; sam3: 1008), 768, 512"
    )
    own.add_argument(
        "--precision",
        choices=("auto", "float32", "mixed", "bfloat16", "float16"),
        default="float32",
    )
    own.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    own.add_argument("--policy", choices=("recent", "samurai", "dam4sam"), default="recent")
    own.add_argument("--compile", choices=("off", "default", "graphs"), default="off")
    own.add_argument(
        "--no-reidentify", action="store_true", help="do not seek what left by its look"
    )
    parser.set_defaults(given=None)


def _add(
    parser: argparse.ArgumentParser, name: str, metavar: str, text: str, kind: type = str
) -> None:
    parser.add_argument(
        name,
        action=_InOrder,
        const=name[2:],
        type=kind,
        metavar=metavar,
        help=text,
        dest=argparse.SUPPRESS,
    )


def run(args: argparse.Namespace) -> int:
    """Follow the prompts; 0 when all were followed to the clip's end, 1 when one was refused."""
    import asyncio

    from foveal.jobs.progress import progress
    from foveal.jobs.tracking import follow_clip

    request = _request(args)
    with progress("loading the tracker", "tracking") as advance:
        summary = asyncio.run(follow_clip(request, advance))
    print(json.dumps(summary) if args.json else _text(summary))
    return 1 if summary["refused_prompts"] else 0


def _request(args: argparse.Namespace) -> "TrackRequest":
    from foveal.config.models import MaskletSettings
    from foveal.jobs.tracking import TrackRequest
    from foveal.output.results_folder import default_folder
    from stream.clock import seconds_to_ns
    from stream.errors import ConfigError
    from stream.sources.skipping import SkipPolicy

    if args.duration is not None and not 0 < args.duration < float("inf"):
        raise ConfigError(f"expected --duration of more than 0 seconds, got {args.duration}")
    return TrackRequest(
        clip=args.clip,
        out=args.out or default_folder(args.clip, "track-"),
        cues=_cues(args.given or _Given()),
        masklets=MaskletSettings(
            tracker=args.tracker,
            image_size=args.image_size,
            precision=args.precision,
            device=args.device,
            policy=args.policy,
            reidentify=not args.no_reidentify,
            compile=args.compile,
        ),
        duration_ns=None if args.duration is None else seconds_to_ns(args.duration),
        video=not args.no_video,
        skipping=SkipPolicy() if args.live else None,
    )


def _cues(given: _Given) -> Any:
    """Command line -> cues; objects are numbered in the order given."""
    from foveal.jobs.tracking import Cue
    from stream.clock import seconds_to_ns
    from stream.errors import ConfigError, PromptError

    cues, count = [], 0
    for time, kind, text in given.cues:
        if time is not None and not 0 <= time < float("inf"):
            raise ConfigError(f"expected --at of 0 seconds or more, got {time}")
        at_ns = seconds_to_ns(time or 0.0)
        if kind == "remove":
            cues.append(Cue(at_ns, int(text)))
        else:
            count += 1
            cues.append(Cue(at_ns, count, _prompt(kind, text)))
    if not count:
        raise PromptError("expected at least one --box, --point or --mask, got none")
    starts = {cue.number: cue.at_ns for cue in cues if cue.prompt is not None}
    for cue in cues:
        if cue.prompt is None and starts.get(cue.number, cue.at_ns) >= cue.at_ns:
            raise PromptError(
                f"expected --remove of an object 1 to {count} after its start, got {cue.number} "
                f"at {cue.at_ns / 1e9:g} s"
            )
    return tuple(cues)


def _prompt(kind: str, text: str) -> "Prompt":
    from foveal.jobs.pixels import parse_box, parse_numbers
    from foveal.jobs.stills import read_mask
    from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt

    if kind == "mask":
        return MaskPrompt(read_mask(Path(text)))
    if kind == "box":
        return BoxPrompt(parse_box(text))
    parts = [part.strip() for part in text.split(";")]
    on = tuple(not part.startswith("-") for part in parts)
    points = [parse_numbers(part.lstrip("-"), 2, "--point X,Y[;[-]X,Y]") for part in parts]
    return PointsPrompt(tuple((x, y) for x, y in points), on)


def _text(summary: dict[str, Any]) -> str:
    lines = [f"{summary['out']}: {summary['frames']} frames at {summary['fps']} fps"]
    for name, count in summary["in_view"].items():
        lines.append(f"  #{name} in view on {count} of {summary['frames']} frames")
    for name, reason in summary["refused_prompts"].items():
        lines.append(f"  #{name} was not started: {reason}")
    for reason, count in summary["refused"].items():
        lines.append(f"  {count} frames refused: {reason}")
    lines += [f"  {cause}: {count}" for cause, count in summary["faults"].items()]
    if summary["skipped"]["late"]:
        lines.append(f"  {summary['skipped']['late']} frames left out: late")
    return "\n".join(lines)
