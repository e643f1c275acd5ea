"""Phrases to masks: the trained region selector beside perception's own find and a centre prior.

    python -m benchmarks.grounding [--json] [--quick] [--data DIR] [--weights FILE] [--show DIR]

Three sets, none of them trained on: `composites` (held-out stamps, where --stamps names a folder
of them, and cut-outs of coco128's second half, over held-out ImageNet backdrops), `coco128` (the
second half by file name), and `adt` (frames of real glasses with every instance's mask). Asked is
every name that one thing of a picture carries and no other, of at least 1 % of the picture. `giou`
is the mean over phrases of intersection over union; a method that finds nothing scores 0. `foveal`
is the region selector, as the trained model's answers use it: a mask, or none where nothing in view
is taken to be meant; `foveal-rules` is `perception.scene`'s find, as the rules use it (the
detector, then the selector with a stricter gate); `detector` is the same without the selector;
`centre` is an ellipse in the middle of the frame. `cpu_ms` is the median of a phrase's processor
time, the first phrase of a picture included.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.aria_adt import read_adt
from benchmarks.report import emit
from foveal.setup.assistant import Models, load_models
from foveal.setup.pixsearch import load_phrase_grounder
from foveal.setup.retrieval.search import load_recogniser
from foveal.training.data.compositing import compose
from foveal.training.data.scenes import (
    LabelledScene,
    by_name,
    cut_outs,
    is_held_out,
    photographs,
    stamps,
)
from perception.scene.phrase_grounding import Finder
from perception.scene.reader import SceneView
from stream.errors import PromptError
from stream.frame import Frame, Image, Mask
from stream.geometry import mask_iou

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
MIN_SHARE = 0.01  # of the picture that an asked thing covers
COMPOSITES, FRAMES, QUICK = 24, 24, 8
CENTRE = 0.28  # half axes of the centre prior as shares of the sides
SHEET, COLUMNS = 320, 4  # height of a picture on the sheet, pictures beside each other
TRUE, SAID = (40, 200, 60), (235, 90, 40)  # RGB
Answer = Callable[[SceneView, str], Mask]


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """One question: where is what this says?"""

    text: str
    truth: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A picture of a set with its phrases."""

    group: str
    image: Image
    phrases: tuple[Phrase, ...]


def main() -> int:
    """Run and print; exit code 0 whether or not the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pictures of each set")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with coco128-seg, aria, …")
    parser.add_argument("--stamps", type=Path, help="folder of tuxpaint-stamps for composites")
    parser.add_argument("--weights", type=Path, help="another selector than the shipped one")
    parser.add_argument("--show", type=Path, help="folder for sheets of foveal's masks")
    args = parser.parse_args()
    models = load_models()
    methods = answers(models, args.weights)
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in methods}
    times: dict[str, list[float]] = {name: [] for name in methods}
    work: dict[str, list[float]] = {name: [] for name in methods}
    sheets: dict[str, list[tuple[str, Image, Mask, Mask]]] = {}
    for asked in pictures(args.data, args.stamps, QUICK if args.quick else None):
        view = models.reader.read(Frame(0, 0, asked.image, asked.group))
        for phrase in asked.phrases:
            for name, answer in methods.items():
                began, busy = time.perf_counter_ns(), time.process_time_ns()
                said = answer(view, phrase.text)
                times[name].append((time.perf_counter_ns() - began) / 1e6)
                work[name].append((time.process_time_ns() - busy) / 1e6)
                scores[name].setdefault(asked.group, []).append(mask_iou(phrase.truth, said))
                if name == "foveal":
                    tile = (phrase.text, asked.image, phrase.truth, said)
                    sheets.setdefault(asked.group, []).append(tile)
    if args.show is not None:
        draw(args.show, sheets)
    report(scores, times, work)
    return 0


def answers(models: Models, weights: Path | None) -> dict[str, Answer]:
    """The methods by name."""
    recogniser = load_recogniser(models.backbone)
    selector = load_phrase_grounder(models.lm.ready(), models.reader, recogniser, weights=weights)

    def selected(view: SceneView, phrase: str) -> Mask:
        found = selector(view, phrase)
        return np.zeros(view.frame.size, bool) if found is None else found.mask

    def found(view: SceneView, phrase: str, finder: Finder | None) -> Mask:
        models.reader.ask(finder)
        try:
            return models.reader.find(view, phrase).mask
        except PromptError:
            return np.zeros(view.frame.size, bool)

    return {
        "foveal": selected,
        "foveal-rules": lambda view, phrase: found(view, phrase, selector),
        "detector": lambda view, phrase: found(view, phrase, None),
        "centre": lambda view, phrase: centre(view.frame.size),
    }


def centre(size: tuple[int, int]) -> Mask:
    """The ellipse in the middle of a frame."""
    canvas = np.zeros(size, np.uint8)
    axes = (round(CENTRE * size[1]), round(CENTRE * size[0]))
    cv2.ellipse(canvas, (size[1] // 2, size[0] // 2), axes, 0, 0, 360, 1, -1)
    return canvas > 0


def pictures(data: Path, stamp_folder: Path | None, limit: int | None) -> Iterator[Asked]:
    """Every set's pictures; a set whose data is absent is left out."""
    photos = (
        photographs(data / "coco-mini", data / "coco128-seg", held_out=True)
        if (data / "coco128-seg").is_dir()
        else []
    )
    yield from _asked("composites", composites(photos, data, stamp_folder, limit or COMPOSITES))
    yield from _asked("coco128", photos[:limit])
    if (data / "aria" / "aria_adt").is_dir():
        yield from adt(data / "aria" / "aria_adt", limit or FRAMES)


def composites(
    photos: list[LabelledScene], data: Path, stamp_folder: Path | None, count: int
) -> Iterator[LabelledScene]:
    """Held-out cut-outs over held-out backdrops; the same ones every time."""
    paths = sorted((data / "imagenet-samples").glob("n*_*.jpg"))
    backdrops = [path for path in paths if is_held_out(path.stem)]
    cuts = cut_outs(photos) + (stamps(stamp_folder, held_out=True) if stamp_folder else [])
    if not backdrops or not cuts:
        return
    rng = np.random.default_rng(0)
    for _ in range(count):
        path = backdrops[int(rng.integers(len(backdrops)))]
        image = np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1]
        yield compose(
            LabelledScene(np.ascontiguousarray(image), (), closed=False), by_name(cuts), rng
        )


def adt(folder: Path, count: int) -> Iterator[Asked]:
    """Frames spread over the recording; instances of categories that a wearer would say."""
    frames = list(read_adt(folder, MIN_SHARE / 10))
    for number in np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int):
        frame = frames[number]
        said = [(one.category, one.mask) for one in frame.instances if "/" not in one.category]
        yield Asked("adt", frame.image, _alone(said))


def _asked(group: str, scenes: list[LabelledScene] | Iterator[LabelledScene]) -> Iterator[Asked]:
    for scene in scenes:
        named = [(thing.names[0], thing.mask) for thing in scene.things]
        yield Asked(group, scene.image, _alone(named))


def _alone(named: list[tuple[str, Mask]]) -> tuple[Phrase, ...]:
    """Names that only one thing carries, and that thing is large enough."""
    names = [name for name, _ in named]
    return tuple(
        Phrase(name, mask)
        for name, mask in named
        if names.count(name) == 1 and mask.mean() >= MIN_SHARE
    )


def draw(folder: Path, sheets: dict[str, list[tuple[str, Image, Mask, Mask]]]) -> None:
    """A sheet of each set."""
    folder.mkdir(parents=True, exist_ok=True)
    size = (SHEET * 4 // 3, SHEET)

    def small(mask: Mask) -> Mask:
        shrunk = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(shrunk > 0)

    for group, tiles in sheets.items():
        shown = [
            (text, np.asarray(cv2.resize(image, size), np.uint8), small(truth), small(said))
            for text, image, truth, said in tiles[:: max(1, len(tiles) // 24)][:24]
        ]
        write_sheet(folder / f"{group}.png", shown)


def write_sheet(path: Path, entries: Sequence[tuple[str, Image, Mask, Mask]]) -> None:
    """(name, picture [h, w, 3], true mask, predicted mask) of one size each -> a PNG.

    Green is the truth's border, orange the prediction.
    """
    tiles = [_tile(*entry) for entry in entries]
    while len(tiles) % COLUMNS:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[n : n + COLUMNS]) for n in range(0, len(tiles), COLUMNS)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _tile(name: str, image: Image, truth: Mask, said: Mask) -> Image:
    tile = image.copy()
    tile[said] = (tile[said] * 0.5 + np.array(SAID) * 0.5).astype(np.uint8)
    edges, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(tile, edges, -1, TRUE, 1)
    cv2.putText(tile, name[:24], (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
    return tile


def report(
    scores: dict[str, dict[str, list[float]]],
    times: dict[str, list[float]],
    work: dict[str, list[float]],
) -> None:
    """Mean IoU of each set; `giou` is the mean of the sets."""
    results: dict[str, dict[str, float]] = {}
    for name, groups in scores.items():
        means = {f"giou_{group}": float(np.mean(values)) for group, values in groups.items()}
        results[name] = {
            "giou": float(np.mean(list(means.values()))) if means else 0.0,
            **means,
            **{f"phrases_{group}": len(values) for group, values in groups.items()},
            "p50_ms": float(np.median(times[name])) if times[name] else 0.0,
            "cpu_ms": float(np.median(work[name])) if work[name] else 0.0,
        }
    ours, others = results["foveal"]["giou"], [results[n]["giou"] for n in ("detector", "centre")]
    goal = {"giou": "> detector and > centre"}
    note = "p50_ms is of one phrase on a frame that was read before"
    emit("grounding", results, goal, ours > max(others), note)


if __name__ == "__main__":
    raise SystemExit(main())
