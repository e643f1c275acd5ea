"""`foveal index build`, `add`, `delete` and `check`: what was done, and what was refused."""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from foveal.jobs.progress import progress
from foveal.setup.retrieval.indexing import add_to_index, build_index, delete_from_index
from foveal.setup.retrieval.search import index_dir
from foveal.setup.retrieval.sources import SourceOptions
from foveal.setup.retrieval.web import open_collection
from foveal.setup.threads import share_cores
from retrieval.qdrant.place import QdrantConfig
from retrieval.sources.entries import Knowledge
from retrieval.sources.wiki import WIKI_SOURCE
from retrieval.store.changes import Change
from retrieval.store.check import check_index
from retrieval.store.index_folder import has_index
from retrieval.store.knowledge import KnowledgeStore, load_store

SHOWN = 20  # of what was left out


def build(args: argparse.Namespace) -> int:
    """0 when the index is there."""
    sources = args.source or [WIKI_SOURCE]
    present = args.out or (index_dir() if sources == [WIKI_SOURCE] else None)
    if args.if_missing and present is not None and has_index(present):
        print(f"{present} is there", file=sys.stderr)
        return 0
    share_cores()
    began = time.perf_counter()
    options = SourceOptions(args.tier, args.encoding)
    with progress("reading texts", "encoding texts") as advance:
        folder, store, knowledge, change = build_index(sources, args.out, advance, options)
    _report(folder, _counts(store, change, knowledge), began, args.json)
    return 0


def add(args: argparse.Namespace) -> int:
    """0 when all that is new is in the index; what was refused is named."""
    share_cores()
    began = time.perf_counter()
    folder = args.index or index_dir()
    options = SourceOptions(args.tier, args.encoding)
    with progress("reading texts", "encoding texts") as advance:
        store, knowledge, change = add_to_index(args.source, folder, args.replace, advance, options)
    _report(folder, _counts(store, change, knowledge), began, args.json)
    return 0


def delete(args: argparse.Namespace) -> int:
    """0 when all of the ids were there and are gone; 1 where one was not there."""
    folder = args.index or index_dir()
    change = delete_from_index(args.id, folder)
    row = {
        "folder": str(folder),
        "removed": change.removed,
        "generation": change.generation,
        "skipped": list(change.refused),
    }
    if args.json:
        print(json.dumps(row))
    else:
        print(f"{change.removed} entries deleted -> {folder}")
        _name(change.refused)
    return 1 if change.refused else 0


def check(args: argparse.Namespace) -> int:
    """0 when the index is whole, 1 with what is not."""
    folder = args.index or index_dir()
    found = check_index(folder)
    if args.json:
        print(json.dumps({"folder": str(folder), **dataclasses.asdict(found)}))
    else:
        print(
            f"{folder}: generation {found.generation}, {found.entries} entries, "
            f"{found.passages} passages, {found.vectors} vectors of {found.encoder}, "
            f"{found.bytes / 1e6:.1f} MB; derived indexes {found.derived}"
        )
        if found.waiting:
            print(f"{found.waiting} texts are encoded and wait for their build to be run again")
        for fault in found.faults[:SHOWN]:
            print(fault, file=sys.stderr)
        if found.faults:
            print(f"{len(found.faults)} faults: build it again with `foveal index build`")
    return 1 if found.faults else 0


def push(args: argparse.Namespace) -> int:
    """0 when the collection holds all of the index; run again, it goes on where it stopped."""
    config = QdrantConfig(url=args.to)
    collection = open_collection(config)
    from retrieval.qdrant.pushing import push as push_index

    share_cores()
    store = load_store(args.folder)
    with progress("asking the server", "entries") as advance:
        done = push_index(store, collection, config, advance)
    if args.json:
        print(json.dumps({"folder": str(args.folder), "to": args.to, **dataclasses.asdict(done)}))
        return 0
    print(
        f"{done.stored} entries stored as {done.points} points, {done.unchanged} unchanged, "
        f"{done.removed} removed -> {args.to}"
    )
    return 0


def _counts(
    store: KnowledgeStore, change: Change, knowledge: Knowledge
) -> dict[str, int | list[str]]:
    return {
        "entries": len(store.entries),
        "passages": int(store.starts[-1]),
        "rows": store.entity.size + store.passage.size,
        "added": change.added,
        "removed": change.removed,
        "unchanged": change.unchanged,
        "encoded": change.encoded,
        "generation": change.generation,
        "skipped": [*knowledge.skipped, *change.refused],
        "noted": list(knowledge.noted),
    }


def _report(folder: Path, counts: dict[str, int | list[str]], began: float, as_json: bool) -> None:
    seconds = round(time.perf_counter() - began, 1)
    if as_json:
        print(json.dumps({"folder": str(folder), **counts, "seconds": seconds}))
        return
    print(
        f"{counts['entries']} entries, {counts['passages']} passages, {counts['rows']} vectors "
        f"in {seconds} s -> {folder}"
    )
    print(
        f"{counts['added']} added, {counts['removed']} removed, {counts['unchanged']} unchanged; "
        f"{counts['encoded']} texts encoded"
    )
    skipped, noted = counts["skipped"], counts["noted"]
    assert isinstance(skipped, list) and isinstance(noted, list)
    _name(skipped)
    for one in noted[:SHOWN]:
        print(f"noted {one}", file=sys.stderr)


def _name(skipped: Sequence[str]) -> None:
    for reason in skipped[:SHOWN]:
        print(f"skipped {reason}", file=sys.stderr)
    if skipped:
        more = "; --json names all" if len(skipped) > SHOWN else ""
        print(f"{len(skipped)} skipped in all{more}", file=sys.stderr)
