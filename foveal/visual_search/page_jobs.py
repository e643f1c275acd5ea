"""`foveal pages build` and `search`: what was done and found, and what was refused."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import cv2

from foveal.jobs.progress import progress
from foveal.output.annotate import resize
from foveal.setup.retrieval.search import load_encoder
from foveal.setup.threads import share_cores
from foveal.visual_search.result_page import Card, data_uri, write_page
from perception.detect.ocr import RapidTextReader
from retrieval.pages.building import build_pages
from retrieval.pages.cells import CellReader
from retrieval.pages.late_search import PageHit, PageSearcher
from retrieval.pages.line_cells import LineCells
from retrieval.pages.stored import load_pages, page_writer
from retrieval.sources.folder import walk
from retrieval.sources.pictures import PICTURES, load_picture
from stream.errors import ConfigError, SourceError
from stream.events import Query
from stream.frame import Image
from stream.geometry import Box

READ = (".pdf", *PICTURES)
SHOWN = 20  # refusals that are printed
THUMBNAIL = 560  # pixels wide
TONE, WIDTH = (226, 84, 32), 2  # of the boxes drawn: RGB, pixels


def build(args: argparse.Namespace) -> int:
    """0 when every page that can be read is in the index."""
    share_cores()
    files, skipped = _files(args.source)
    source = args.source.resolve()
    root = source if source.is_dir() else source.parent
    out = args.out or root / f"{source.stem}.pages"
    if args.out is None and source.is_dir():
        out = source.with_name(f"{source.name}.pages")
    reader = open_cells(args.cells)
    with (
        progress("opening", "reading files") as advance,
        page_writer(out, reader.id, reader.dim, root, args.cells) as db,
    ):
        change = build_pages(db, files, reader, advance)
    refused = [*skipped, *map(str, change.refused)]
    if args.json:
        row = {**dataclasses.asdict(change), "refused": refused}
        print(json.dumps({"folder": str(out), **row}))
        return 0
    print(
        f"{change.added} pages added with {change.cells} cells, {change.unchanged} unchanged, "
        f"{change.removed} removed -> {out}"
    )
    for reason in refused[:SHOWN]:
        print(f"skipped {reason}", file=sys.stderr)
    return 0


def search(args: argparse.Namespace) -> int:
    """0 when the search was made, whatever it found."""
    share_cores()
    hits = open_pages(args.index).find(Query("text", args.words, args.k))
    if args.html is not None:
        write_page(args.html, args.words, [_card(hit) for hit in hits])
    if args.json:
        print(json.dumps({"pages": [_row(hit) for hit in hits]}))
        return 0
    for hit in hits:
        print(f"{hit.score:.3f}  {hit.name}")
        for text in hit.texts:
            print(f"       {text}")
    return 0


def open_cells(name: str) -> CellReader:
    """`lines` or `colvision:FOLDER`; raises ConfigError for another name."""
    scheme, _, folder = name.partition(":")
    if scheme == "colvision" and folder:
        from perception.device import resolve_device
        from retrieval.pages.patch_cells import open_patch_cells

        return open_patch_cells(Path(folder).expanduser(), resolve_device().name)
    if name != "lines":
        raise ConfigError(f"expected lines or colvision:FOLDER as cells, got {name!r}")
    ocr = RapidTextReader()

    def read(image: Image) -> list[tuple[str, Box]]:
        return [(line.text, line.box) for line in ocr.read(image)]

    return LineCells(load_encoder(), read)


def open_pages(folder: Path) -> PageSearcher:
    """A `Searcher` over an index, with the cells that it names."""
    index = load_pages(folder)
    return PageSearcher(index, open_cells(index.named))


def _files(source: Path) -> tuple[Mapping[str, Path], list[str]]:
    if source.is_file():
        paths, refused, root = [source], [], source.parent
    elif source.is_dir():
        (paths, found), root = walk(source), source
        refused = [str(one) for one in found]
    else:
        raise SourceError(f"expected a PDF, a picture or a folder of them in {source}, found none")
    files = {
        path.relative_to(root).as_posix(): path for path in paths if path.suffix.lower() in READ
    }
    if not files:
        raise SourceError(f"expected a PDF or a picture in {source}, found none")
    return files, refused


def _card(hit: PageHit) -> Card:
    told, text = f"{hit.score:.3f}", " … ".join(hit.texts)
    try:
        image = load_picture(hit.reference)
    except (SourceError, OSError) as error:
        return Card(hit.name, told, "", f"{text} ({error})")
    return Card(hit.name, told, data_uri(drawn(image, hit)), text)


def drawn(image: Image, hit: PageHit) -> Image:
    """A page [H, W, 3] made smaller, with the boxes of its regions."""
    height = max(1, round(image.shape[0] * THUMBNAIL / image.shape[1]))
    small = resize(image, (THUMBNAIL, height)).copy()
    for region in hit.regions:
        x0, y0, x1, y1 = region.box
        corners = (
            (round(x0 * THUMBNAIL) - WIDTH, round(y0 * height) - WIDTH),
            (round(x1 * THUMBNAIL) + WIDTH, round(y1 * height) + WIDTH),
        )
        cv2.rectangle(small, *corners, TONE, WIDTH)
    return small


def _row(hit: PageHit) -> dict[str, object]:
    texts = hit.texts or ("",) * len(hit.regions)
    return {
        "name": hit.name,
        "score": round(hit.score, 4),
        "regions": [
            {
                "score": round(region.score, 4),
                "box": [round(value, 4) for value in region.box],
                "text": text,
            }
            for region, text in zip(hit.regions, texts, strict=True)
        ],
    }
