"""`foveal data`: build and check search-interleaved training data (docs/training_data.md)."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from foveal.examples import examples

if TYPE_CHECKING:
    from foveal.training.data.distil import DistilReport
    from reasoning.data.builder import BuildReport

FORMATS = ("refcoco", "ade20k", "paco", "oven", "infoseek", "crag-mm")
HELP = "build and check training data"
EPILOG = """examples:
  foveal data build --out data.jsonl --data DIR --limit 2000
  foveal data build --out data.jsonl --data DIR --annotator openai:http://localhost:8000/v1#MODEL
  foveal data build --out data.jsonl --data DIR --without benchmarks/data/*.yaml
  foveal data import refcoco refcoco/ --images train2014/ --out refcoco.jsonl
  foveal data import infoseek infoseek_train.jsonl --images oven/ --out infoseek.jsonl
  foveal data check data.jsonl
DIR holds coco-mini/ (COCO's layout), coco128-seg/ (YOLO segmentation) and imagenet-samples/, at
least one of them; only their training parts are read. Composites are written beside the JSONL file.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    build = actions.add_parser(
        "build", help="pictures and a knowledge base -> records", **examples(EPILOG, "data build")
    )
    build.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    build.add_argument("--data", type=Path, help="folder of the pictures")
    build.add_argument("--cutouts", type=Path, help="folder of named PNG cut-outs")
    build.add_argument("--composites", type=int, default=200, help="pictures to paste (200)")
    build.add_argument("--limit", type=int, default=1000, help="records at most (1000)")
    build.add_argument(
        "--annotator",
        default="rules",
        help="rules (default: what the assistant of rules answers, where it is confirmed), or "
        "openai:URL#MODEL, a chat endpoint",
    )
    build.add_argument(
        "--without",
        type=Path,
        nargs="*",
        default=[],
        metavar="YAML",
        help="benchmarks whose questions and pictures are left out",
    )
    build.add_argument("--index", type=Path, help="index folder; wiki-vital's unless given")
    build.add_argument("--seed", type=int, default=0)
    taken = actions.add_parser(
        "import", help="a public data set -> records", **examples(EPILOG, "data import")
    )
    taken.add_argument("format", choices=FORMATS)
    taken.add_argument("source", type=Path, help="the set's folder, JSON, JSONL or parquet file")
    taken.add_argument("--images", type=Path, help="folder of its pictures")
    taken.add_argument("--split", help="of refcoco (train) or ade20k (training)")
    taken.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    taken.add_argument("--limit", type=int, help="records at most")
    check = actions.add_parser(
        "check", help="validate a JSONL file of records", **examples(EPILOG, "data check")
    )
    check.add_argument("file", type=Path)
    check.add_argument("--images", action="store_true", help="also open every picture")
    for action in (build, taken, check):
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the file was written, or is sound; 1 when a record is not."""
    actions = {"build": _build, "import": _import, "check": _check}
    return actions[args.action](args)


def _build(args: argparse.Namespace) -> int:
    from foveal.setup.threads import share_cores
    from foveal.training.data.build import BuildOptions, build_data
    from foveal.training.data.pictures import missing_sets
    from stream.errors import SourceError

    for folder in (args.data, args.cutouts):
        if folder is not None and not folder.is_dir():
            raise SourceError(f"expected a folder of pictures at {folder}, found none")
    if args.data is not None:
        for missing in missing_sets(args.data):
            print(f"not there, so not used: {missing}", file=sys.stderr)
    share_cores()
    options = BuildOptions(
        args.out, args.data, args.cutouts, args.composites, args.limit, args.annotator, args.index,
        args.seed, tuple(args.without),
    )  # fmt: skip

    def on_record(count: int) -> None:
        if sys.stderr.isatty() and count % 20 == 0:
            print(f"\r{count} records", end="", file=sys.stderr)

    report = build_data(options, on_record)
    figures = report_json(report)
    if args.json:
        print(json.dumps({**figures, "file": str(args.out)}))
    else:
        print(f"{args.out}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    return 0


def _import(args: argparse.Namespace) -> int:
    from itertools import islice

    from foveal.training.data.import_ import import_records
    from reasoning.data.records import write_jsonl
    from stream.writing import keep_apart

    keep_apart([args.out], [args.source])
    records = import_records(args.format, args.source, args.images, args.split, args.out)
    count = write_jsonl(args.out, islice(records, args.limit))
    print(
        json.dumps({"records": count, "file": str(args.out)})
        if args.json
        else f"{args.out}: {count} records"
    )
    return 0


def report_json(report: "BuildReport | DistilReport") -> dict[str, object]:
    """A report as JSON values."""
    from dataclasses import asdict

    return asdict(report)


def _check(args: argparse.Namespace) -> int:
    from foveal.training.data.build import check_data

    report = check_data(args.file, args.images)
    if args.json:
        print(json.dumps(report))
    else:
        for what in report["problems"]:
            print(what)
        print(f"{args.file}: {report['records']} records, {len(report['problems'])} problems")
    return 1 if report["problems"] else 0
