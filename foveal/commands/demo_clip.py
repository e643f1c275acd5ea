"""`foveal demo-clip`: render the clip that `make demo` replays."""

import argparse
import json
from pathlib import Path

HELP = "render a clip of real photographs with known masks"
EPILOG = """examples:
  foveal demo-clip runs/demo.mp4
  foveal demo-clip runs/small.mp4 --size 640x360 --fps 5 --seconds 8 --seed 3

Photographs from the scikit-image package on a wall, seen by a head camera that looks around,
shakes and adapts its exposure. Beside the clip it writes NAME.truth.json (box and mask of every
known thing in every frame) and NAME.questions.jsonl (for `foveal replay --ask-file`). The same
options give the same files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("clip", type=Path, help="MP4 file to write")
    parser.add_argument("--seed", type=int, default=7, help="of the shake and noise (default 7)")
    parser.add_argument("--seconds", type=float, default=45.0, help="length (default 45)")
    parser.add_argument("--size", default="960x540", metavar="WxH", help="default 960x540")
    parser.add_argument("--fps", type=int, default=6, help="frames per second (default 6)")
    parser.add_argument("--json", action="store_true", help="print the files as one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the clip, its truth and its questions are written."""
    from foveal.demo.clip import DemoOptions, render_demo
    from foveal.jobs.progress import progress

    width, height = _parse_size(args.size)
    options = DemoOptions(args.seconds, width, height, args.fps, args.seed)
    with progress("rendering", "rendering") as advance:
        files = render_demo(args.clip, options, advance)
    if args.json:
        row = {"clip": files.clip, "truth": files.truth, "questions": files.questions}
        print(json.dumps({name: str(path) for name, path in row.items()}))
        return 0
    print(f"{files.clip}: {options.frame_count} frames of {width}x{height} at {args.fps} fps")
    print(f"{files.truth}: the masks\n{files.questions}: the questions")
    return 0


def _parse_size(text: str) -> tuple[int, int]:
    from stream.errors import ConfigError

    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise ConfigError(f"expected --size WIDTHxHEIGHT like 1280x720, got {text!r}") from error
    return width, height
