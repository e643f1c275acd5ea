"""`foveal pictures build` and `search`: what was done and found, and what was refused."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foveal.jobs.pixels import parse_box
from foveal.jobs.progress import progress
from foveal.output.annotate import draw, shrink
from foveal.setup.retrieval.encoders import open_encoder
from foveal.setup.threads import share_cores
from foveal.visual_search.mask_sources import open_masks
from foveal.visual_search.result_page import Card, data_uri, write_page
from reasoning.vlm.wire.endpoint import Endpoint
from retrieval.encoders.region_modes import RegionMode
from retrieval.pictures.building import PictureChange, build_pictures
from retrieval.pictures.matching import PictureHit, PictureSearcher
from retrieval.pictures.stored import PictureIndex, load_pictures, picture_writer
from retrieval.sources.entries import RefusedRow
from retrieval.sources.folder import walk
from retrieval.sources.pictures import PICTURES, load_picture
from stream.errors import BackendError, PromptError, SourceError
from stream.events import Query, Region
from stream.frame import Frame
from stream.geometry import clip_box, encode_mask

SHOWN = 20  # refusals that are printed
THUMBNAIL = 360  # pixels high at most
MAX_LISTED = 16  # pictures that a chat model puts in order at once


def build(args: argparse.Namespace) -> int:
    """0 when every picture that can be read is in the index."""
    if not args.folder.is_dir():
        raise SourceError(f"expected a folder of pictures in {args.folder}, found none")
    share_cores()
    paths, refused = walk(args.folder)
    files = {
        path.relative_to(args.folder).as_posix(): path
        for path in paths
        if path.suffix.lower() in PICTURES
    }
    if not files:
        raise SourceError(
            f"expected a picture ({', '.join(PICTURES)}) in {args.folder}, found none"
        )
    out = args.out or args.folder.with_name(f"{args.folder.resolve().name}.pictures")
    encoder, source = open_encoder(args.encoder, args.regions), open_masks(args.masks)
    named = f"{args.encoder} {args.regions}"
    with progress("opening", "reading pictures") as advance, picture_writer(out) as db:
        change = build_pictures(db, args.folder, files, encoder, source, advance, named)
    _report(out, change, refused, args.json)
    return 0


def search(args: argparse.Namespace) -> int:
    """0 when the search was made, whatever it found."""
    share_cores()
    query = _query(args)
    searcher = open_searcher(args.index)
    if not searcher.index.whole:
        print("the build of this index did not end: run it again", file=sys.stderr)
    hits = searcher.search(query)
    if args.rerank:
        hits = _reranked(searcher, query, args.rerank)
    if args.html is not None:
        title = query.text if query.kind == "text" else f"pictures like {args.image}"
        write_page(args.html, title, [_card(hit) for hit in hits])
    if args.json:
        print(json.dumps({"kind": query.kind, "pictures": [_row(hit) for hit in hits]}))
        return 0
    for hit in hits:
        where = "" if hit.box is None else f"  {','.join(map(str, hit.box))}"
        print(f"{hit.score:.3f}  {hit.name}{where}")
    return 0


def open_searcher(folder: Path) -> PictureSearcher:
    """With the encoder that the index names; raises AssetError and ConfigError as it does."""
    index = load_pictures(folder)
    return PictureSearcher(index, open_encoder(*_named(index)))


def _named(index: PictureIndex) -> tuple[str, RegionMode]:
    name, _, regions = index.named.rpartition(" ")
    modes: dict[str, RegionMode] = {
        "crop": "crop", "blanked": "blanked", "pooled": "pooled", "alpha": "alpha"
    }  # fmt: skip
    return name, modes.get(regions, "both")


def _query(args: argparse.Namespace) -> Query:
    if (args.image is None) == (args.words is None):
        raise PromptError("expected either words or --image FILE to search for")
    if args.image is None:
        if args.box is not None:
            raise PromptError("expected --box with --image; add --image FILE")
        return Query("text", args.words, args.k)
    if args.rerank:
        raise PromptError("expected words with --rerank: a picture is not put in order by them")
    image = load_picture(args.image)
    if args.box is None:
        return Query("image", "<image>", args.k, image)
    x0, y0, x1, y1 = clip_box(parse_box(args.box), *image.shape[:2])
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[y0:y1, x0:x1] = True
    return Query("region", "<region>", args.k, image, encode_mask(mask))


def _reranked(searcher: PictureSearcher, query: Query, name: str) -> list[PictureHit]:
    """What both searches found, as a chat model orders it; in their order where it is silent."""
    from reasoning.verification.list_rerank import rerank
    from reasoning.vlm.openai_client import ChatClient

    few = dataclasses.replace(query, k=min(query.k, MAX_LISTED // 2))
    found = searcher.candidates(few)
    unique = list({hit.place: hit for hit in found}.values())
    pictures, readable = [], []
    for hit in unique:
        try:
            pictures.append(load_picture(hit.path))
            readable.append(hit)
        except (SourceError, OSError) as error:
            print(f"left out {hit.name}: {error}", file=sys.stderr)
    places = {hit.place: number for number, hit in enumerate(readable)}
    votes = [places[hit.place] for hit in found if hit.place in places]
    if not votes:
        return searcher.search(query)
    try:
        order: Sequence[int] = rerank(ChatClient(Endpoint.parse(name)), query.text, votes, pictures)
    except BackendError as error:
        print(f"the order is the search's: {error}", file=sys.stderr)
        return searcher.search(query)
    return [readable[number] for number in order][: query.k]


def _card(hit: PictureHit) -> Card:
    by = "" if hit.region is None else f", its region {hit.region:.3f}"
    told = f"{hit.score:.3f} (whole {hit.whole:.3f}{by})"
    try:
        frame = Frame(0, 0, load_picture(hit.path), hit.name)
    except (SourceError, OSError) as error:
        return Card(hit.name, told, "", str(error))
    marked = () if hit.mask is None else (Region(0, 0, hit.mask, hit.box, hit.score),)
    if hit.mask is not None and hit.mask.size != frame.size:
        return Card(hit.name, told, data_uri(shrink(frame.image, THUMBNAIL)), "changed since")
    return Card(hit.name, told, data_uri(draw(frame, marked, heights=(1, THUMBNAIL))))


def _row(hit: PictureHit) -> dict[str, object]:
    return {
        "name": hit.name,
        "path": hit.path,
        "score": round(hit.score, 4),
        "whole": round(hit.whole, 4),
        "region": None if hit.region is None else round(hit.region, 4),
        "box": list(hit.box) if hit.box else None,
        "mask": None if hit.mask is None else hit.mask.as_json(),
    }


def _report(out: Path, change: PictureChange, skipped: Sequence[RefusedRow], as_json: bool) -> None:
    refused = [str(one) for one in (*skipped, *change.refused)]
    if as_json:
        row = {**dataclasses.asdict(change), "refused": refused}
        print(json.dumps({"folder": str(out), **row}))
        return
    print(
        f"{change.added} pictures added with {change.regions} regions, {change.unchanged} "
        f"unchanged, {change.removed} removed -> {out}"
    )
    for reason in refused[:SHOWN]:
        print(f"skipped {reason}", file=sys.stderr)
    if refused:
        print(f"{len(refused)} skipped in all", file=sys.stderr)
