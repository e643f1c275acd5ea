"""`foveal index`: build, change and check a knowledge index, and query it."""

import argparse
from pathlib import Path
from typing import Any

from foveal.examples import examples

TIERS = ("own", "vetted", "unvetted")  # of stream.events, whose import takes long
HELP = "build the knowledge index and query it"
EPILOG = """examples:
  foveal index build                                   # Wikipedia summaries, about two minutes
  foveal index build --source notes/ --out notes.index
  foveal index build --source notes/ --source manuals.csv --encoding cp1252 --out mine.index
  foveal index add --source letters/ --index notes.index
  foveal index push notes.index --to qdrant:http://localhost:6333#notes
  foveal index delete notes:kettle.md --index notes.index
  foveal index check --index notes.index
  foveal index query --text "Where does the tomato come from?"
  foveal index query --text "boiler" --index notes.index --after 2026-01-01 --tag home
  foveal index query --image kitchen.jpg -k 3
  foveal index query --region kitchen.jpg --box 120,80,300,260 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = _action(actions, "build", "read, encode and write an index; goes on where one stopped")
    build.add_argument("--out", type=Path, help="folder to write (default: in the cache)")
    build.add_argument("--if-missing", action="store_true", help="do nothing if it is there")
    add = _action(actions, "add", "put a source's entries beside those of an index")
    add.add_argument(
        "--replace", action="store_true", help="an entry of an id that is there takes its place"
    )
    for action in (build, add):
        _source_arguments(action, required=action is add)
    delete = _action(actions, "delete", "take entries out of an index")
    delete.add_argument("id", nargs="+", help="as `foveal index query --json` tells it")
    push = _action(actions, "push", "bring a Qdrant collection to what an index holds")
    push.add_argument("folder", type=Path, metavar="INDEX", help="index folder")
    push.add_argument("--to", required=True, metavar="qdrant:URL#COLLECTION", help="made if new")
    check = _action(actions, "check", "compare all that is stored with its digests")
    query = _action(actions, "query", "search an index")
    _query_arguments(query)
    for action in (add, delete, check, query):
        action.add_argument("--index", type=Path, help="index folder (default: wiki-vital's)")


def run(args: argparse.Namespace) -> int:
    """0 when it was done; 1 where an id was not there, or an index is not whole."""
    if args.action == "query":
        from foveal.jobs.index_query import query_index

        return query_index(args)
    from foveal.jobs import index_changes

    actions = {
        "build": index_changes.build,
        "add": index_changes.add,
        "delete": index_changes.delete,
        "check": index_changes.check,
        "push": index_changes.push,
    }
    return actions[args.action](args)


def _action(actions: Any, name: str, what: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=what, **examples(EPILOG, f"index {name}")
    )
    action.add_argument("--json", action="store_true", help="print one JSON object")
    return action


def _source_arguments(action: argparse.ArgumentParser, required: bool) -> None:
    default = "" if required else " (default)"
    action.add_argument(
        "--source",
        action="append",
        required=required,
        help=f"wiki-vital{default}, a folder, or a file (docs/sources.md); several, if repeated",
    )
    action.add_argument(
        "--tier",
        choices=TIERS,
        help="how far it is believed (default: folders are own, all else vetted)",
    )
    action.add_argument(
        "--encoding", default="", help="of text that is no UTF-8 and says none, such as cp1252"
    )


def _query_arguments(query: argparse.ArgumentParser) -> None:
    what = query.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", metavar="WORDS", help="a question or a name")
    what.add_argument("--image", metavar="FILE", help="a picture")
    what.add_argument("--region", metavar="FILE", help="a picture whose --box is searched for")
    query.add_argument("--box", metavar="X0,Y0,X1,Y1", help="pixels, x1 and y1 exclusive")
    query.add_argument("-k", type=int, default=5, help="results (default 5)")
    query.add_argument("--after", metavar="DATE", help="only what is of this day or later")
    query.add_argument("--before", metavar="DATE", help="only what is of an earlier day")
    query.add_argument("--tag", action="append", help="only what bears it; all, if repeated")
    query.add_argument("--source", action="append", help="only of this source, as ids begin")
    query.add_argument("--tier", action="append", choices=TIERS, help="only of this tier")
