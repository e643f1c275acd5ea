"""Region queries against whole-image queries in one index, and text queries dense, lexical, mixed.

    python -m benchmarks.retrieval [--json] [--quick] [--data DIR]

DIR holds COCO-style photographs: annotations/instances_val2017.json and val2017/*.jpg (default:
../shared/data/coco-mini). Every object of at least 1 % of its picture that is no crowd asks one
query. `foveal` is given the true mask, `foveal-from-box` and `foveal-from-point` cut the mask out
themselves, from the true box and from a point inside. `recall_at_k` is against an index of the 80
category names in the joint space; `entity_recall_at_k` against the whole knowledge base, for the
categories it has an article of. `--aria DIR` adds one frame of real glasses (Aria Digital Twin):
its instances of 0.1 to 25 % of the picture, against all categories of that recording.
Text queries are made from the knowledge base itself (see `text_queries`).
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.aria_adt import read_adt
from benchmarks.report import emit
from foveal.setup.retrieval.search import (
    load_backbone,
    load_encoder,
    load_recogniser,
    open_searcher,
)
from foveal.training.data.pictures import TITLES
from perception.features.backbone import Backbone
from perception.masks.grabcut import mask_from_box, mask_from_point
from perception.scene.recogniser import Recogniser
from retrieval.encoders.conse import ConseProjector, Posteriors, class_vectors
from retrieval.encoders.text import MiniLmEncoder
from retrieval.search import HybridWeights, KnowledgeSearcher
from retrieval.sources.sentences import search_words
from retrieval.store.caches.vectors import FaissIndex
from retrieval.store.knowledge import KnowledgeStore
from stream.events import Query
from stream.frame import Image, Mask
from stream.geometry import inner_point, mask_box

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "coco-mini"
MIN_SHARE = 0.01  # of the picture's pixels
GAIN = 1.5  # goal: foveal's recall_at_1 over whole-image's
TEXT_QUERIES = 400
GAIN_KEPT = 0.8  # goal: share of that gain that masks from a box keep
METHODS = ("whole-image", "box", "foveal", "foveal-from-box", "foveal-from-point")
ARIA = DATA.parent / "aria" / "aria_adt"
ARIA_SHARES = (0.001, 0.25)


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One annotated object."""

    category: str
    image: Image
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Visual:
    """What turns pictures into queries and queries into entries."""

    encoder: MiniLmEncoder
    recogniser: Recogniser
    backbone: Backbone
    searcher: KnowledgeSearcher


def main() -> int:
    """Run and print; exit code 0 whether or not the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--quick", action="store_true", help="a minute's run")
    parser.add_argument("--data", type=Path, default=DATA, help="COCO-style folder")
    parser.add_argument("--aria", type=Path, default=ARIA, help="Aria Digital Twin folder")
    args = parser.parse_args()
    encoder, recogniser = load_encoder(), load_recogniser()
    searcher = open_searcher(None, recogniser)
    bench = Visual(encoder, recogniser, load_backbone(), searcher)
    things = list(read_things(args.data, 20 if args.quick else None))
    results = visual_results(bench, things, category_names(args.data))
    if args.aria.is_dir():
        worn = list(read_glasses(args.aria))
        names = sorted({thing.category for thing in worn} | set(glasses_names(args.aria)))
        for method, figures in visual_results(bench, worn, names).items():
            results[f"{method}, glasses"] = figures
    results |= text_results(searcher.store, encoder, 100 if args.quick else TEXT_QUERIES)
    gain, kept = gains(results)
    note = (
        f"{len(things)} objects; foveal's recall_at_1 is {gain:.2f}x whole-image's, "
        f"and masks from boxes keep {kept:.0%} of the gain"
    )
    goal = {"recall_at_1": f">= {GAIN}x whole-image", "gain_kept": f">= {GAIN_KEPT}"}
    emit("retrieval", results, goal, gain >= GAIN and kept >= GAIN_KEPT, note)
    return 0


def gains(results: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """foveal's recall_at_1 over whole-image's, and the share of the gain masks from boxes keep."""
    whole, known, cut = (
        results[method]["recall_at_1"] for method in ("whole-image", "foveal", "foveal-from-box")
    )
    return known / max(whole, 1e-9), (cut - whole) / max(known - whole, 1e-9)


def read_glasses(folder: Path) -> Iterator[Thing]:
    """Instances of one frame of real glasses."""
    frame = next(read_adt(folder, ARIA_SHARES[0]), None)
    for instance in () if frame is None else frame.instances:
        if frame is not None and instance.mask.mean() <= ARIA_SHARES[1]:
            yield Thing(instance.category, frame.image, instance.mask)


def glasses_names(folder: Path) -> list[str]:
    """Every category of the recording, in view or not."""
    table = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    return [str(entry["category"]) for entry in table.values()]


def category_names(data: Path) -> list[str]:
    """The categories in the file's order."""
    return [str(entry["name"]) for entry in _annotations(data)["categories"]]


def read_things(data: Path, pictures: int | None = None) -> Iterator[Thing]:
    """Objects of the validation half, large enough to be seen."""
    document = _annotations(data)
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    for info in document["images"][:pictures]:
        pixels = cv2.imread(str(data / "val2017" / info["file_name"]))
        image = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        for entry in document["annotations"]:
            if entry["image_id"] != info["id"] or entry.get("iscrowd"):
                continue
            mask = _polygons(entry["segmentation"], image.shape[:2])
            if mask.mean() >= MIN_SHARE:
                yield Thing(names[entry["category_id"]], image, mask)


def method_posteriors(bench: Visual, thing: Thing) -> dict[str, Posteriors]:
    """[1, C] posteriors of each way to ask about a thing."""
    box = mask_box(thing.mask) or (0, 0, 1, 1)
    x0, y0, x1, y1 = box
    crop = np.ascontiguousarray(thing.image[y0:y1, x0:x1])
    features = bench.backbone.features(thing.image)
    cut = mask_from_box(thing.image, box)
    grown = mask_from_point(thing.image, inner_point(thing.mask), features)
    masks: list[Mask | None] = [None, None, thing.mask, cut, grown]
    pictures = [thing.image, crop, thing.image, thing.image, thing.image]
    rows = bench.recogniser.classify(pictures, masks)
    return {method: rows[number : number + 1] for number, method in enumerate(METHODS)}


def visual_results(
    bench: Visual, things: Sequence[Thing], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Recall of every method against the names and against the knowledge base."""
    projector = ConseProjector(class_vectors(bench.encoder, bench.recogniser.class_synonyms))
    index = FaissIndex(bench.encoder.dim)
    index.add(bench.encoder.encode_text(names))
    titles = {entry.title for entry in bench.searcher.store.entries}
    places: dict[str, list[int]] = {method: [] for method in METHODS}
    entities: dict[str, list[int]] = {method: [] for method in METHODS}
    for thing in things:
        title = TITLES.get(thing.category, thing.category.capitalize())
        for method, posteriors in method_posteriors(bench, thing).items():
            rows = index.search(projector.project(posteriors), 5)[1][0]
            places[method].append(_place([names[row] for row in rows], thing.category))
            if title in titles:
                found = bench.searcher.search_posteriors(posteriors, 5)
                entities[method].append(_place([each.title for each in found], title))
    return {method: _figures(places[method], entities[method]) for method in METHODS}


def _figures(places: Sequence[int], entities: Sequence[int]) -> dict[str, float]:
    (one, five), (entity_one, entity_five) = _recalls(places), _recalls(entities)
    return {
        "recall_at_1": one,
        "recall_at_5": five,
        "entity_recall_at_1": entity_one,
        "entity_recall_at_5": entity_five,
    }


def text_queries(store: KnowledgeStore, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(query, title): a later sentence without the title's words and half of the others.

    Dropping every other word keeps exact matching from being trivially right.
    """
    rng = random.Random(seed)
    queries = []
    for entry in rng.sample(store.entries, len(store.entries)):
        if len(entry.passages) < 2:
            continue
        title = set(search_words(entry.title))
        words = [w for w in entry.passages[1].split() if not set(search_words(w)) & title]
        kept = [word for word in words if rng.random() < 0.5]
        if len(search_words(" ".join(kept))) >= 4:
            queries.append((" ".join(kept), entry.title))
        if len(queries) == count:
            break
    return queries


def text_results(
    store: KnowledgeStore, encoder: MiniLmEncoder, count: int
) -> dict[str, dict[str, float]]:
    """Recall and queries per second of dense, BM25 and both."""
    queries = text_queries(store, count)
    methods = {
        "text-dense": HybridWeights(words=0.0, name=0.0),
        "text-bm25": HybridWeights(words=1.0, name=0.0),
        "text-hybrid": HybridWeights(),
    }
    results = {}
    for method, weights in methods.items():
        searcher = KnowledgeSearcher(store, encoder, weights=weights)
        began = time.perf_counter_ns()
        places = [
            _place([found.title for found in searcher.search(Query("text", text, 5))], title)
            for text, title in queries
        ]
        seconds = (time.perf_counter_ns() - began) / 1e9
        one, five = _recalls(places)
        results[method] = {
            "recall_at_1": one,
            "recall_at_5": five,
            "qps": len(queries) / seconds,
        }
    return results


def _annotations(data: Path) -> dict[str, Any]:
    path = data / "annotations" / "instances_val2017.json"
    if not path.is_file():
        raise SystemExit(f"expected COCO annotations in {path}; give their folder with --data")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _polygons(polygons: Sequence[Sequence[float]], size: tuple[int, ...]) -> Mask:
    canvas = np.zeros(size, np.uint8)
    for polygon in polygons:
        points = np.round(np.array(polygon, np.float64).reshape(-1, 2)).astype(np.int32)
        cv2.fillPoly(canvas, [points], 1)
    return canvas.astype(bool)


def _place(found: Sequence[str], wanted: str) -> int:
    """Rank from 0, or a rank past every cut when it is not found."""
    return found.index(wanted) if wanted in found else len(found) + 100


def _recalls(places: Sequence[int]) -> tuple[float, float]:
    ranks = np.array(places or [100])
    return float(np.mean(ranks < 1)), float(np.mean(ranks < 5))


if __name__ == "__main__":
    raise SystemExit(main())
