"""`foveal pictures`: search a folder of pictures by words, a picture or a region of one."""

import argparse
from pathlib import Path
from typing import Any, get_args

from foveal.examples import examples
from retrieval.encoders.region_modes import RegionMode

HELP = "search a folder of pictures, each hit with the mask that matched"
EPILOG = """examples:
  foveal pictures build photos/                                  # writes photos.pictures
  foveal pictures build photos/ --masks instances.json --out mine.pictures --json
  foveal pictures build photos/ --masks proposals --encoder hf:google/siglip2-base-patch16-256
  foveal pictures search photos.pictures "a dog on a sofa" --html found.html
  foveal pictures search photos.pictures --image cup.jpg --box 120,80,300,260 --json
  foveal pictures search photos.pictures "red kettle" --rerank openai:http://localhost:8000/v1#m
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = _action(actions, "build", "find regions, encode all; goes on where one stopped")
    build.add_argument("folder", type=Path, help="folder of pictures")
    build.add_argument(
        "--masks",
        default="things",
        help="things (default), proposals, sam2:MODEL, or COCO instances as FILE.json",
    )
    build.add_argument("--out", type=Path, help="folder to write (default: FOLDER.pictures)")
    build.add_argument(
        "--encoder", default="embedded", help="as retrieval.encoder (docs/encoders.md)"
    )
    build.add_argument("--regions", choices=get_args(RegionMode), default="both")
    search = _action(actions, "search", "pictures by words or looks")
    search.add_argument("index", type=Path, help="folder that `build` wrote")
    search.add_argument("words", nargs="?", help="what the picture shows")
    search.add_argument("--image", metavar="FILE", help="a picture of what is looked for")
    search.add_argument("--box", metavar="X0,Y0,X1,Y1", help="of it, pixels of --image")
    search.add_argument("-k", type=int, default=10, help="results (default 10)")
    search.add_argument("--html", type=Path, metavar="FILE", help="write a page of thumbnails")
    search.add_argument(
        "--rerank", metavar="openai:URL#MODEL", help="a chat model that puts the list in order"
    )


def run(args: argparse.Namespace) -> int:
    """0 when it was done."""
    from foveal.visual_search import picture_jobs

    actions = {"build": picture_jobs.build, "search": picture_jobs.search}
    return actions[args.action](args)


def _action(actions: Any, name: str, told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=told, **examples(EPILOG, f"pictures {name}")
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
