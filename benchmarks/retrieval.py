"""Region queries against whole-image queries in one index, and text queries dense, lexical, mixed.

    python -m benchmarks.retrieval [--json] [--quick] [--data DIR]

DIR holds COCO-style photographs: annotations/instances_val2017.json and val2017/*.jpg (default:
../shared/data/coco-mini). Every object of at least 1 % of its picture that is no crowd asks one
query. `recall_at_k` is against an index of the 80 category names in the joint space;
`entity_recall_at_k` against the whole knowledge base, for the categories it has an article of.
Text queries are made from the knowledge base itself (see `text_queries`).
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.report import emit
from foveal.search_setup import load_encoder, load_recogniser, open_searcher
from perception.recogniser import Recogniser
from retrieval.conse import ConseProjector, Posteriors
from retrieval.index import FaissIndex
from retrieval.search import HybridWeights, KnowledgeSearcher
from retrieval.sentences import search_words
from retrieval.store import KnowledgeStore
from retrieval.text_encoder import MiniLmEncoder
from retrieval.visual import class_vectors
from stream.events import Query
from stream.frame import Image, Mask
from stream.masks import mask_box
from stream.views import region_views

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "coco-mini"
MIN_SHARE = 0.01  # of the picture's pixels
GAIN = 1.5  # goal: foveal's recall_at_1 over whole-image's
TEXT_QUERIES = 400
METHODS = ("whole-image", "box", "blanked", "foveal")

# Categories whose article has another title; those missing here and in the base are left out.
TITLES = {
    "cow": "Cattle",
    "dining table": "Table (furniture)",
    "orange": "Orange (fruit)",
    "keyboard": "Computer keyboard",
    "remote": "Remote control",
    "cell phone": "Mobile phone",
    "sports ball": "Ball",
    "donut": "Doughnut",
    "baseball glove": "Glove",
    "tv": "Television",
    "mouse": "Computer mouse",
    "microwave": "Microwave oven",
    "teddy bear": "Stuffed toy",
}


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One annotated object."""

    category: str
    image: Image
    mask: Mask


def main() -> int:
    """Run and print; exit code 0 whether or not the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--quick", action="store_true", help="a minute's run")
    parser.add_argument("--data", type=Path, default=DATA, help="COCO-style folder")
    args = parser.parse_args()
    encoder, recogniser = load_encoder(), load_recogniser()
    searcher = open_searcher(None, recogniser)
    things = list(read_things(args.data, 20 if args.quick else None))
    names = category_names(args.data)
    results = visual_results(things, names, encoder, recogniser, searcher)
    results |= text_results(searcher.store, encoder, 100 if args.quick else TEXT_QUERIES)
    gain = results["foveal"]["recall_at_1"] / max(results["whole-image"]["recall_at_1"], 1e-9)
    note = f"{len(things)} objects; foveal's recall_at_1 is {gain:.2f}x whole-image's"
    goal = {"recall_at_1": f">= {GAIN}x whole-image"}
    emit("retrieval", results, goal, gain >= GAIN, note)
    return 0


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


def method_posteriors(recogniser: Recogniser, thing: Thing) -> dict[str, Posteriors]:
    """[1, 1000] posteriors of each way to ask about a thing."""
    x0, y0, x1, y1 = mask_box(thing.mask) or (0, 0, 1, 1)
    box = np.ascontiguousarray(thing.image[y0:y1, x0:x1])
    masks: list[Mask | None] = [None, None, thing.mask, None, None]
    pictures = [thing.image, box, thing.image, *region_views(thing.image, thing.mask)]
    rows = recogniser.classify(pictures, masks)
    views = (rows[:1], rows[1:2], rows[2:3], rows[3:].mean(axis=0, keepdims=True))
    return dict(zip(METHODS, views, strict=True))


def visual_results(
    things: Sequence[Thing],
    names: Sequence[str],
    encoder: MiniLmEncoder,
    recogniser: Recogniser,
    searcher: KnowledgeSearcher,
) -> dict[str, dict[str, float]]:
    """Recall of every method against the names and against the knowledge base."""
    projector = ConseProjector(class_vectors(encoder, recogniser.class_synonyms))
    index = FaissIndex(encoder.dim)
    index.add(encoder.encode_text(names))
    titles = {entry.title for entry in searcher.store.entries}
    places: dict[str, list[int]] = {method: [] for method in METHODS}
    entities: dict[str, list[int]] = {method: [] for method in METHODS}
    began = time.perf_counter_ns()
    for thing in things:
        title = TITLES.get(thing.category, thing.category.capitalize())
        for method, posteriors in method_posteriors(recogniser, thing).items():
            rows = index.search(projector.project(posteriors), 5)[1][0]
            places[method].append(_place([names[row] for row in rows], thing.category))
            if title in titles:
                found = searcher.search_posteriors(posteriors, 5)
                entities[method].append(_place([each.title for each in found], title))
    seconds = (time.perf_counter_ns() - began) / 1e9
    results = {}
    for method in METHODS:
        one, five = _recalls(places[method])
        entity_one, entity_five = _recalls(entities[method])
        results[method] = {
            "recall_at_1": one,
            "recall_at_5": five,
            "entity_recall_at_1": entity_one,
            "entity_recall_at_5": entity_five,
        }
    results["foveal"]["ms_per_object_all_methods"] = 1000 * seconds / max(1, len(things))
    return results


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
