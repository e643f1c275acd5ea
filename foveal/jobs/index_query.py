"""`foveal index query`: words, a picture or a region of it, and what was found."""

import argparse
import json

import numpy as np
from rich.console import Console
from rich.table import Table

from foveal.jobs.pixels import parse_box
from foveal.jobs.stills import read_picture
from foveal.setup.retrieval.search import load_recogniser, open_searcher
from foveal.setup.threads import share_cores
from retrieval.store.rows import date_ns
from stream.errors import PromptError
from stream.events import Evidence, Query, QueryFilter
from stream.geometry import clip_box, encode_mask


def query_index(args: argparse.Namespace) -> int:
    """Search and print."""
    share_cores()
    query = make_query(args)
    recogniser = None if query.kind == "text" else load_recogniser()
    found = open_searcher(args.index, recogniser).search(query)
    if args.json:
        print(json.dumps({"kind": query.kind, "evidence": [_row(e) for e in found]}))
    else:
        _print(found)
    return 0


def make_query(args: argparse.Namespace) -> Query:
    """What is asked for; raises PromptError or SourceError for what cannot be."""
    if args.region is None and args.box is not None:
        raise PromptError("expected --box with --region only; drop it or use --region FILE")
    wanted = QueryFilter(
        _moment(args.after, "--after"),
        _moment(args.before, "--before"),
        tuple(args.tag or ()),
        tuple(args.source or ()),
        tuple(args.tier or ()),
    )
    if args.text is not None:
        return Query("text", args.text, args.k, filter=wanted)
    image = read_picture(args.image or args.region)
    if args.region is None:
        return Query("image", "<image>", args.k, image, filter=wanted)
    x0, y0, x1, y1 = clip_box(parse_box(args.box or ""), *image.shape[:2])
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[y0:y1, x0:x1] = True
    return Query("region", "<region>", args.k, image, encode_mask(mask), filter=wanted)


def _moment(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    moment = date_ns(text)
    if moment is None:
        raise PromptError(f"expected a day or time like 2026-05-31 for {option}, got {text!r}")
    return moment


def _row(evidence: Evidence) -> dict[str, object]:
    return {
        "id": evidence.id,
        "title": evidence.title,
        "score": round(evidence.score, 4),
        "text": evidence.text,
        "source": evidence.source,
        "region": list(evidence.region) if evidence.region else None,
    }


def _print(found: list[Evidence]) -> None:
    table = Table(box=None)
    for name in ("score", "title", "text", "source"):
        table.add_column(name, overflow="fold")
    for evidence in found:
        table.add_row(f"{evidence.score:.3f}", evidence.title, evidence.text, evidence.source)
    Console().print(table)
