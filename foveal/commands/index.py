"""`foveal index`: build the knowledge index and query it with text, a picture or a region."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from foveal.examples import examples
from stream.events import Tier

if TYPE_CHECKING:
    from stream.events import Evidence, Query

SHOWN = 20  # of what was left out
HELP = "build the knowledge index and query it"
EPILOG = """examples:
  foveal index build                                   # Wikipedia summaries, about two minutes
  foveal index build --source notes/ --out notes.index
  foveal index build --source notes/ --source manuals.csv --encoding cp1252 --out mine.index
  foveal index query --text "Where does the tomato come from?"
  foveal index query --image kitchen.jpg -k 3
  foveal index query --region kitchen.jpg --box 120,80,300,260 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser(
        "build", help="read, encode and write an index", **examples(EPILOG, "index build")
    )
    build.add_argument(
        "--source",
        action="append",
        help="wiki-vital (default), a folder, or a file (docs/sources.md); several, if repeated",
    )
    build.add_argument(
        "--tier",
        choices=get_args(Tier),
        help="how far it is believed (default: folders are own, all else vetted)",
    )
    build.add_argument(
        "--encoding", default="", help="of text that is no UTF-8 and says none, such as cp1252"
    )
    build.add_argument("--out", type=Path, help="folder to write (default: in the cache)")
    build.add_argument("--if-missing", action="store_true", help="do nothing if it is there")
    build.add_argument("--kind", choices=("flat", "hnsw"), default="flat")
    query = actions.add_parser("query", help="search an index", **examples(EPILOG, "index query"))
    what = query.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", metavar="WORDS", help="a question or a name")
    what.add_argument("--image", metavar="FILE", help="a picture")
    what.add_argument("--region", metavar="FILE", help="a picture whose --box is searched for")
    query.add_argument("--box", metavar="X0,Y0,X1,Y1", help="pixels, x1 and y1 exclusive")
    query.add_argument("-k", type=int, default=5, help="results (default 5)")
    query.add_argument("--index", type=Path, help="index folder (default: wiki-vital's)")
    for action in (build, query):
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the index was built or the query was answered."""
    return _build(args) if args.action == "build" else _query(args)


def _build(args: argparse.Namespace) -> int:
    from foveal.jobs.progress import progress
    from foveal.setup.search import build_index, index_dir
    from foveal.setup.sources import SourceOptions
    from foveal.setup.threads import share_cores
    from retrieval.sources.wiki import WIKI_SOURCE

    sources = args.source or [WIKI_SOURCE]
    present = args.out or (index_dir() if sources == [WIKI_SOURCE] else None)
    if args.if_missing and present is not None and (present / "manifest.json").is_file():
        print(f"{present} is there", file=sys.stderr)
        return 0
    share_cores()
    began = time.perf_counter()
    with progress("reading texts", "encoding texts") as advance:
        options = SourceOptions(args.tier, args.encoding)
        folder, store, knowledge = build_index(sources, args.out, args.kind, advance, options)
    row = {
        "folder": str(folder),
        "entries": len(store.entries),
        "passages": int(store.starts[-1]),
        "rows": store.index.size,
        "skipped": list(knowledge.skipped),
        "noted": list(knowledge.noted),
        "seconds": round(time.perf_counter() - began, 1),
    }
    if args.json:
        print(json.dumps(row))
        return 0
    print(
        f"{row['entries']} entries, {row['passages']} passages, {row['rows']} vectors "
        f"in {row['seconds']} s -> {folder}"
    )
    for reason in knowledge.skipped[:SHOWN]:
        print(f"skipped {reason}", file=sys.stderr)
    if knowledge.skipped:
        more = "; --json names all" if len(knowledge.skipped) > SHOWN else ""
        print(f"{len(knowledge.skipped)} skipped in all{more}", file=sys.stderr)
    for noted in knowledge.noted[:SHOWN]:
        print(f"noted {noted}", file=sys.stderr)
    return 0


def _query(args: argparse.Namespace) -> int:
    from foveal.setup.search import load_recogniser, open_searcher
    from foveal.setup.threads import share_cores

    share_cores()
    query = _make_query(args)
    recogniser = None if query.kind == "text" else load_recogniser()
    found = open_searcher(args.index, recogniser).search(query)
    if args.json:
        print(json.dumps({"kind": query.kind, "evidence": [_row(e) for e in found]}))
    else:
        _print(found)
    return 0


def _make_query(args: argparse.Namespace) -> "Query":
    import numpy as np

    from foveal.jobs.pixels import parse_box
    from foveal.jobs.stills import read_picture
    from stream.errors import PromptError
    from stream.events import Query
    from stream.geometry import clip_box, encode_mask

    if args.region is None and args.box is not None:
        raise PromptError("expected --box with --region only; drop it or use --region FILE")
    if args.text is not None:
        return Query("text", args.text, args.k)
    image = read_picture(args.image or args.region)
    if args.region is None:
        return Query("image", "<image>", args.k, image)
    x0, y0, x1, y1 = clip_box(parse_box(args.box or ""), *image.shape[:2])
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[y0:y1, x0:x1] = True
    return Query("region", "<region>", args.k, image, encode_mask(mask))


def _row(evidence: "Evidence") -> dict[str, object]:
    return {
        "id": evidence.id,
        "title": evidence.title,
        "score": round(evidence.score, 4),
        "text": evidence.text,
        "source": evidence.source,
        "region": list(evidence.region) if evidence.region else None,
    }


def _print(found: "list[Evidence]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for name in ("score", "title", "text", "source"):
        table.add_column(name, overflow="fold")
    for evidence in found:
        table.add_row(f"{evidence.score:.3f}", evidence.title, evidence.text, evidence.source)
    Console().print(table)
