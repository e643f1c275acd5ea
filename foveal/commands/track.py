"""`foveal track`: follow a thing through a recording, from a box, points or a mask."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foveal.tracking import TrackRequest
    from perception.prompts import Prompt

EPILOG = """examples:
  foveal track walk.mp4 --at 2.0 --box 410,220,530,380 --out runs/cup
  foveal track walk.mp4 --at 2.0 --point 470,300 --point 120,80 --out runs/two
  foveal track walk.mp4 --mask cup.png --tracker sam2:facebook/sam2.1-hiera-tiny --image-size 512
  foveal track walk.mp4 --box 10,10,90,90 --tracker sam2:checkpoints/sam2.1_hiera_tiny.pt

Each --box, --point and --mask is a thing of its own. A mask is a picture of the frame's size; what
is not black is the thing. Results: regions.jsonl (one line a frame: mask as run lengths, box,
point, score), annotated.mp4 and summary.json.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser(
        "track",
        help="follow things through a recording by mask, box or point",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clip", type=Path, help="video file, image folder or Aria .vrs")
    parser.add_argument("--at", type=float, default=0.0, metavar="S", help="time of the prompts")
    parser.add_argument("--box", action="append", default=[], metavar="X0,Y0,X1,Y1")
    parser.add_argument("--point", action="append", default=[], metavar="X,Y")
    parser.add_argument("--mask", action="append", default=[], type=Path, metavar="PNG")
    parser.add_argument("--out", type=Path, help="output folder (default runs/track-<clip name>)")
    parser.add_argument(
        "--tracker", default="embedded", metavar="embedded|sam2:PATH_OR_HUB_ID", help="which one"
    )
    parser.add_argument("--duration", type=float, metavar="S", help="stop after this long")
    parser.add_argument("--image-size", type=int, metavar="PX", help="of SAM 2: 1024, 768, 512")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16", "float16"), default="float32"
    )
    parser.add_argument("--device", default="cpu", help="of SAM 2: cpu (default) or cuda")
    parser.add_argument("--no-video", action="store_true", help="do not write annotated.mp4")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Follow the prompts; 0 when the clip was followed to its end."""
    from rich.console import Console
    from rich.progress import Progress

    from foveal.tracking import follow_clip

    request = _request(args)
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("loading the tracker", total=None)

        def advance(done: int, total: int | None) -> None:
            bar.update(task, description="tracking", completed=done, total=total)

        summary = asyncio.run(follow_clip(request, advance))
    print(json.dumps(summary) if args.json else _text(summary))
    return 0


def _request(args: argparse.Namespace) -> "TrackRequest":
    from foveal.tracking import TrackRequest
    from stream.clock import seconds_to_ns
    from stream.errors import ConfigError, PromptError

    for name, value in (("--at", args.at), ("--duration", args.duration)):
        if value is not None and not 0 <= value < float("inf"):
            raise ConfigError(f"expected {name} of 0 seconds or more, got {value}")
    prompts = _prompts(args)
    if not prompts:
        raise PromptError("expected at least one --box, --point or --mask, got none")
    return TrackRequest(
        clip=args.clip,
        out=args.out or Path("runs") / f"track-{args.clip.stem}",
        prompts=prompts,
        at_ns=seconds_to_ns(args.at),
        tracker=args.tracker,
        duration_ns=None if args.duration is None else seconds_to_ns(args.duration),
        image_size=args.image_size,
        precision=args.precision,
        device=args.device,
        video=not args.no_video,
    )


def _prompts(args: argparse.Namespace) -> "tuple[Prompt, ...]":
    from perception.prompts import BoxPrompt, MaskPrompt, PointsPrompt

    prompts: list[Prompt] = []
    for text in args.box:
        x0, y0, x1, y1 = _numbers(text, 4, "--box X0,Y0,X1,Y1")
        prompts.append(BoxPrompt((int(x0), int(y0), int(x1), int(y1))))
    for text in args.point:
        x, y = _numbers(text, 2, "--point X,Y")
        prompts.append(PointsPrompt(((x, y),)))
    prompts.extend(MaskPrompt(_read_mask(path)) for path in args.mask)
    return tuple(prompts)


def _numbers(text: str, count: int, form: str) -> list[float]:
    from stream.errors import PromptError

    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(abs(value) < 1e9 for value in values):
        raise PromptError(f"expected {form} in pixels, got {text!r}")
    return values


def _read_mask(path: Path) -> Any:
    """[H, W] bool: where the picture is not black."""
    import cv2
    import numpy as np

    from stream.errors import SourceError

    data = path.read_bytes() if path.is_file() else b""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise SourceError(f"expected a mask picture at {path}, found none that can be read")
    return np.asarray(picture).max(axis=-1) > 0


def _text(summary: dict[str, Any]) -> str:
    lines = [f"{summary['out']}: {summary['frames']} frames at {summary['fps']} fps"]
    for name, count in summary["in_view"].items():
        lines.append(f"  #{name} in view on {count} of {summary['frames']} frames")
    for reason, count in summary["refused"].items():
        lines.append(f"  {count} frames refused: {reason}")
    return "\n".join(lines)
