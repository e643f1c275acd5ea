"""`foveal pages`: search PDF pages and scans, each hit with the parts of the page that answer."""

import argparse
from pathlib import Path
from typing import Any

from foveal.examples import examples

HELP = "search pages of documents, each hit with the regions that answer"
EPILOG = """examples:
  foveal pages build manual.pdf                       # writes manual.pages beside it
  foveal pages build scans/ --out scans.index --json
  foveal pages search manual.pages "How is the filter changed?" --html found.html
  foveal pages search manual.pages "warranty" -k 3 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = _action(actions, "build", "read and encode all; goes on where one stopped")
    build.add_argument("source", type=Path, help="a PDF, a picture of a page, or a folder of them")
    build.add_argument(
        "--cells", default="lines", help="lines (default), or colvision:FOLDER of a ColQwen2 model"
    )
    build.add_argument("--out", type=Path, help="folder to write (default: SOURCE.pages)")
    search = _action(actions, "search", "pages by words")
    search.add_argument("index", type=Path, help="folder that `build` wrote")
    search.add_argument("words", help="what is asked")
    search.add_argument("-k", type=int, default=5, help="pages (default 5)")
    search.add_argument("--html", type=Path, metavar="FILE", help="write the pages with boxes")


def run(args: argparse.Namespace) -> int:
    """0 when it was done."""
    from foveal.visual_search import page_jobs

    actions = {"build": page_jobs.build, "search": page_jobs.search}
    return actions[args.action](args)


def _action(actions: Any, name: str, told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=told, **examples(EPILOG, f"pages {name}")
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
