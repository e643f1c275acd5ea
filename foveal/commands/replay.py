"""`foveal replay`: a recorded clip in, grounded and spoken answers out."""

import argparse
from pathlib import Path

HELP = "replay a recording and answer questions about it"
EPILOG = """examples:
  foveal replay walk.mp4 --ask "3.0: What is on the shelf?" --out runs/walk
  foveal replay recording.vrs --ask-file questions.jsonl --rate 0 --out runs/glasses
  foveal replay walk.mp4 --ask-audio --wake "hey foveal"
  foveal replay walk.mp4 --index notes.index --ask "2: Who owns the kettle?"
  foveal replay walk.mp4 --remember day.memory --ask "40: Where did you last see the cat?"
  foveal replay frames/ --fps 10 --ask "1: Describe the room." --json

questions.jsonl holds one object a line: {"at": 3.0, "text": "Which tool is this?", "point": [x, y]}
(point and box are optional). --rate 0 runs on the virtual clock: two runs give the same bytes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("clip", help="video file, image folder or Aria .vrs")
    parser.add_argument("--out", type=Path, help="output folder (default runs/<clip name>)")
    parser.add_argument(
        "--ask", action="append", default=[], metavar='"SECONDS: TEXT"', help="repeatable"
    )
    parser.add_argument("--ask-file", type=Path, metavar="JSONL", help="questions, one a line")
    parser.add_argument(
        "--ask-audio", action="store_true", help="questions are what is said in the recording"
    )
    parser.add_argument("--wake", metavar="PHRASE", help="... and only what follows this phrase")
    parser.add_argument(
        "--sound-track", type=int, default=1, metavar="N", help="... of this sound track (1)"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, help="playback rate; 0 = as fast as possible (default)"
    )
    parser.add_argument("--start-offset", type=float, default=0.0, metavar="S")
    parser.add_argument("--duration", type=float, metavar="S")
    parser.add_argument("--loop", action="store_true", help="start again at the end, until Ctrl-C")
    parser.add_argument("--start-paused", action="store_true", help="wait for Enter, then play")
    parser.add_argument("--fps", type=float, default=10.0, help="of an image folder (default 10)")
    parser.add_argument(
        "--config", default="embedded", metavar="PROFILE|FILE", help="settings (default embedded)"
    )
    parser.add_argument(
        "--index",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="an index of your own, searched before the knowledge base; repeatable",
    )
    parser.add_argument(
        "--remember", type=Path, metavar="FILE", help="keep what is seen and said in this memory"
    )
    parser.add_argument("--reader", choices=("pyav", "decord"), default="pyav")
    parser.add_argument("--tracker", metavar="NAME", help="embedded, sam2:ID, edgetam:ID, sam3:ID")
    parser.add_argument("--tracks", type=int, metavar="N", help="masklets kept alive")
    parser.add_argument("--no-video", action="store_true", help="do not write annotated.mp4")
    parser.add_argument("--show-scores", action="store_true", help="ids and scores in the video")
    parser.add_argument("--no-speech", action="store_true", help="do not write speech/*.wav")
    parser.add_argument(
        "--blur-faces", action="store_true", help="hide faces in all pictures that are written"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Replay one clip; 0 when it was played to its end, 1 when a question was refused."""
    import asyncio

    from foveal.jobs.progress import progress
    from foveal.jobs.replay import ReplayRequest, replay
    from foveal.jobs.replay_summary import print_summary

    request = ReplayRequest.from_args(args)
    with progress("loading models", "replaying") as advance:
        summary = asyncio.run(replay(request, advance))
    print_summary(summary, as_json=args.json)
    return 1 if summary.unanswered else 0
