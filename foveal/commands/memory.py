"""`foveal memory`: ask what the wearer saw, and see, take out, bring in or forget what is kept."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from foveal.examples import examples
from retrieval.memory.recall import RecallBy, RecallHow

if TYPE_CHECKING:
    from retrieval.memory.disk.forgetting import Forgotten
    from retrieval.memory.disk.store import MemoryStore
    from retrieval.memory.recall import Recall
    from stream.events import Evidence

HELP = "search, list, export and forget what a session remembered"
EPILOG = """examples:
  foveal memory search day.memory "Where did I leave the blue cup?"
  foveal memory search day.memory "cups this morning" --how list -k 20 --json
  foveal memory search day.memory --image cup.jpg --box 120,80,300,260
  foveal memory search day.memory "open the fridge" --then "pour milk" --then "close the fridge"
  foveal memory list day.memory --count 10
  foveal memory stats day.memory --json
  foveal memory forget day.memory --last 5m
  foveal memory forget day.memory --name "letter from the bank"
  foveal memory export day.memory --out day.jsonl
  foveal memory import day.memory day.jsonl
"""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _search_arguments(_action(actions, "search", "ask a memory"))
    listing = _action(actions, "list", "the newest events")
    listing.add_argument("--count", type=int, default=20, help="events (default 20)")
    _action(actions, "stats", "how much there is of what")
    forget = _action(actions, "forget", "take out for good, to the last byte")
    what = forget.add_mutually_exclusive_group(required=True)
    what.add_argument("--last", metavar="TIME", help="the last 90s, 5m, 2h or 3d")
    what.add_argument("--older", metavar="TIME", help="what is older than that")
    what.add_argument("--event", metavar="ID", help="one event, as `list` names it")
    what.add_argument("--name", help="a thing, a person or a word, wherever it is named")
    what.add_argument("--all", action="store_true", help="everything")
    taken = _action(actions, "export", "write all of it as lines of JSON")
    taken.add_argument("--out", type=Path, help="file to write (default: standard output)")
    brought = _action(actions, "import", "bring in what `export` wrote; what is known stays")
    brought.add_argument("lines", type=Path, help="file that `foveal memory export` wrote")


def _action(actions: Any, name: str, told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=told, **examples(EPILOG, f"memory {name}")
    )
    parser.add_argument("file", type=Path, help="the memory's file")
    if name != "export":
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _search_arguments(search: argparse.ArgumentParser) -> None:
    search.add_argument("words", nargs="?", default="", help="a question, with its times")
    search.add_argument("--image", metavar="FILE", help="a picture of what is looked for")
    where = search.add_mutually_exclusive_group()
    where.add_argument("--box", metavar="X0,Y0,X1,Y1", help="of it, pixels of --image")
    where.add_argument("--mask", type=Path, metavar="FILE", help="of it, white on black")
    search.add_argument(
        "--then", action="append", default=[], metavar="WORDS", help="what came next; repeatable"
    )
    search.add_argument("--by", choices=get_args(RecallBy), default="all")
    search.add_argument("--how", choices=get_args(RecallHow), help="default: as the words ask")
    search.add_argument("-k", type=int, default=5, help="results (default 5)")


def run(args: argparse.Namespace) -> int:
    """0 when it was done."""
    actions = {
        "search": _search,
        "list": _list,
        "stats": _stats,
        "forget": _forget,
        "export": _export,
        "import": _import,
    }
    return actions[args.action](args)


def _search(args: argparse.Namespace) -> int:
    from foveal.setup.remembering import open_memory
    from stream.clock import UnixClock

    recall = _recall(args)
    with open_memory(args.file, UnixClock(), recall.image is not None) as memory:
        found = memory.recall(recall)
    if args.json:
        print(json.dumps({"how": recall.how, "evidence": [_row(one) for one in found]}))
        return 0
    for one in found:
        print(one.text)
    if not found:
        print("nothing that matches", file=sys.stderr)
    return 0


def _recall(args: argparse.Namespace) -> "Recall":
    import numpy as np

    from foveal.jobs.pixels import parse_box
    from foveal.jobs.stills import read_mask, read_picture
    from retrieval.memory.asking import how_asked
    from retrieval.memory.recall import Recall
    from stream.errors import PromptError
    from stream.geometry import clip_box, encode_mask

    if args.image is None and (args.box is not None or args.mask is not None):
        raise PromptError("expected --box or --mask with --image; add --image FILE")
    image = None if args.image is None else read_picture(args.image)
    mask = None if args.mask is None else read_mask(args.mask)
    if image is not None and args.box is not None:
        x0, y0, x1, y1 = clip_box(parse_box(args.box), *image.shape[:2])
        mask = np.zeros(image.shape[:2], np.bool_)
        mask[y0:y1, x0:x1] = True
    if image is not None and mask is not None and mask.shape != image.shape[:2]:
        raise PromptError(
            f"expected a mask of the picture's size {image.shape[:2]}, got {mask.shape}"
        )
    how = args.how or how_asked(args.words, "best" if image is None else "last")
    rle = None if mask is None else encode_mask(mask)
    return Recall(args.words, args.by, how, image=image, mask=rle, then=tuple(args.then), k=args.k)


def _row(evidence: "Evidence") -> dict[str, object]:
    return {
        "id": evidence.id,
        "title": evidence.title,
        "text": evidence.text,
        "score": round(evidence.score, 4),
        "box": list(evidence.region) if evidence.region else None,
    }


def _list(args: argparse.Namespace) -> int:
    from retrieval.memory.disk.schema import open_to_read
    from retrieval.memory.disk.statistics import newest_events
    from retrieval.memory.telling import RecalledMoment, Seen, tell
    from stream.clock import UnixClock
    from stream.errors import ConfigError

    if args.count < 1:
        raise ConfigError(f"expected --count of 1 or more, got {args.count}")
    with closing(open_to_read(args.file)) as connection:
        rows = list(newest_events(connection, args.file, args.count))
    if args.json:
        print(json.dumps(rows))
        return 0
    keys, now_ns = ("id", "start_ns", "end_ns", "zone", "text", "said", "spoken_by"), UnixClock()
    for row in rows:
        things = tuple(Seen(one["name"], one["box"], one["confidence"]) for one in row["sights"])
        moment = RecalledMoment(**{key: row[key] for key in keys}, things=things)
        print(f"{row['id']:24} {tell(moment, None, now_ns.now_ns())}")
    return 0


def _stats(args: argparse.Namespace) -> int:
    from dataclasses import asdict
    from datetime import datetime

    from retrieval.memory.disk.schema import open_to_read
    from retrieval.memory.disk.statistics import read_stats
    from stream.clock import NS_PER_S

    with closing(open_to_read(args.file)) as connection:
        stats = read_stats(connection, args.file)
    if args.json:
        print(json.dumps(asdict(stats)))
        return 0
    print(
        f"{stats.events} events and {stats.sights} sights of {stats.names} names in "
        f"{stats.sessions} sessions of {stats.hours:g} hours; {stats.folded} sights share vectors"
    )
    if stats.oldest_ns is not None and stats.newest_ns is not None:
        ends = (datetime.fromtimestamp(ns / NS_PER_S) for ns in (stats.oldest_ns, stats.newest_ns))
        print("from {} to {}".format(*(end.isoformat(" ", "minutes") for end in ends)))
    print(f"{stats.bytes / 1e6:.2f} MB on disk, of these {stats.words / 1e6:.2f} MB of words")
    return 0


def _forget(args: argparse.Namespace) -> int:
    from retrieval.memory.disk.schema import open_to_read
    from retrieval.memory.disk.store import MemoryStore

    open_to_read(args.file).close()  # a name that is mistyped makes no new file
    with MemoryStore(args.file) as store:
        done = _forgotten(args, store)
    if args.json:
        print(json.dumps({"events": done.events, "sights": done.sights, "cut": done.cut}))
        return 0
    print(f"forgot {done.events} events and {done.sights} sights", end="")
    print(f", and cut it out of the words of {done.cut} events" if done.cut else "")
    return 0


def _forgotten(args: argparse.Namespace, store: "MemoryStore") -> "Forgotten":
    from retrieval.memory.disk import forgetting
    from stream.clock import UnixClock

    if args.event is not None:
        return forgetting.forget_event(store, args.event)
    if args.name is not None:
        return forgetting.forget_name(store, args.name)
    if args.all:
        return forgetting.forget_all(store)
    if args.last is not None:
        return forgetting.forget_since(store, UnixClock().now_ns() - _span_ns(args.last, "--last"))
    return forgetting.forget_before(store, UnixClock().now_ns() - _span_ns(args.older, "--older"))


def _span_ns(text: str, option: str) -> int:
    from stream.clock import seconds_to_ns
    from stream.errors import ConfigError

    number, unit = text[:-1], text[-1:]
    try:
        seconds = float(number) * UNITS[unit]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0 <= seconds < 1e10:
        raise ConfigError(f"expected {option} as 90s, 5m, 2h or 3d, got {text!r}")
    return seconds_to_ns(seconds)


def _export(args: argparse.Namespace) -> int:
    from retrieval.memory.disk.exchange import export_lines
    from retrieval.memory.disk.schema import open_to_read
    from stream.writing import keep_apart, writing

    with closing(open_to_read(args.file)) as connection:
        lines = export_lines(connection, args.file)
        if args.out is None:
            for line in lines:
                print(line)
            return 0
        keep_apart([args.out], [args.file])
        with writing(args.out), args.out.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    return 0


def _import(args: argparse.Namespace) -> int:
    from retrieval.memory.disk.exchange import import_lines
    from retrieval.memory.disk.store import MemoryStore
    from stream.errors import SourceError

    if not args.lines.is_file():
        raise SourceError(f"expected a file that `foveal memory export` wrote, got {args.lines}")
    with (
        args.lines.open(encoding="utf-8", errors="replace") as lines,
        MemoryStore(args.file) as store,
    ):
        done = import_lines(store, lines)
    if args.json:
        row = {"events": done.events, "sights": done.sights, "refused": done.refused}
        print(json.dumps(row))
        return 0
    print(f"brought in {done.events} events and {done.sights} sights")
    for cause, count in done.refused.items():
        print(f"refused {count}: {cause}", file=sys.stderr)
    return 0
