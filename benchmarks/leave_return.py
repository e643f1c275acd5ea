"""Leave and return: a thing goes out of view for 1 to 10 s and comes back beside look-alikes.

    python -m benchmarks.leave_return --json [--quick] [--data DIR]

Two kinds of scene at 10 frames a second, both of real pixels with known masks: `pan`, where the
view slides over a photograph away from a thing and back (its look-alikes are the photograph's own
things of the same kind), and `paste`, where a cut-out leaves a real clip on one side and comes back
on the other, larger or smaller and lit otherwise, with two others of its kind beside it.
Recovered: in the last second, most frames have the thing's first id on it (IoU >= 0.5). Wrong: on a
look-alike. Data: DIR/coco-mini (val2017) and DIR/clips. The peer is label propagation without
re-identification, as in benchmarks/vos.py. Nothing was trained or tuned on these scenes.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.report import emit
from benchmarks.vos import PlainPropagation
from foveal.assets.registry import asset_path
from foveal.session.masklets import LiveMasklets
from foveal.setup.trackers import load_renewer
from perception.features.backbone import Backbone, Features
from perception.tracking.tracker import EmbeddedTracker
from stream.frame import Frame, Image, Mask
from stream.geometry import decode_mask, mask_iou

FPS = 10
SIZE = (288, 512)  # height, width of a frame
VIEW = 0.5  # share of a photograph's sides that a panning view shows
STAY_S, MOVE_S = 1.5, 1.0  # before leaving and after return; on the way
AWAY_S = (1.0, 2.0, 3.5, 5.0, 7.0, 10.0)
GOAL_RECOVERED = 0.8
SCENES = 12  # of each kind
CLIPS = ("bedroom.mp4", "02_cups.mp4", "04_coffee.mp4", "08_driving.mp4", "20_doughkneading.mp4")

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One annotated thing of a photograph."""

    image: Image
    mask: Mask
    category: int
    photograph: int


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame with the truth."""

    image: Image
    target: Mask
    others: tuple[Mask, ...]


def read_things(root: Path, half: str = "val2017") -> list[Thing]:
    """Things of one half of coco-mini that cover 1 to 30 % of their photograph."""
    notes = json.loads((root / "annotations" / f"instances_{half}.json").read_text("utf-8"))
    files = {info["id"]: info["file_name"] for info in notes["images"]}
    found, images = [], {}
    for note in notes["annotations"]:
        path = root / half / files[note["image_id"]]
        if note.get("iscrowd") or not path.is_file():
            continue
        if note["image_id"] not in images:
            images[note["image_id"]] = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        image = images[note["image_id"]]
        mask = np.zeros(image.shape[:2], np.uint8)
        for polygon in note["segmentation"]:
            points = np.round(np.array(polygon).reshape(-1, 2)).astype(np.int32)
            cv2.fillPoly(mask, [points], 1)
        if 0.01 < mask.mean() < 0.3:
            found.append(Thing(image, mask > 0, note["category_id"], note["image_id"]))
    return found


def pan(target: Thing, others: Sequence[Thing], away_s: float, rng: Rng) -> Iterator[Shot]:
    """The view slides away from a thing and comes back, nearer and in other light."""
    height, width = target.mask.shape
    rows, cols = np.nonzero(target.mask)
    start = np.array([cols.mean() / width, rows.mean() / height])
    far = np.where(start < 0.5, 1 - VIEW / 2, VIEW / 2)
    gone = far if max(abs(far - start)) > 0 else start
    again = start + rng.uniform(-0.15, 0.15, 2)  # it comes back elsewhere in the view
    nearer, gain = float(rng.uniform(1.0, 1.25)), float(rng.uniform(0.8, 1.2))
    masks = [target.mask, *(other.mask for other in others)]
    for share, back in _timeline(away_s):
        here = again if back else start
        centre = np.clip(here + share * (gone - here), 0.15, 0.85)
        zoom = (nearer if back else 1.0) * min(SIZE[1] / width, SIZE[0] / height) / VIEW
        shake = rng.normal(0, 1.0, 2)
        matrix = np.array(
            [
                [zoom, 0, SIZE[1] / 2 - zoom * centre[0] * width + shake[0]],
                [0, zoom, SIZE[0] / 2 - zoom * centre[1] * height + shake[1]],
            ]
        )
        image = cv2.warpAffine(target.image, matrix, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
        seen = [cv2.warpAffine(m.astype(np.uint8), matrix, SIZE[::-1]) > 0 for m in masks]
        yield Shot(_noisy(image * (gain if back else 1.0), rng), seen[0], tuple(seen[1:]))


def paste(
    target: Thing, others: Sequence[Thing], clip: Sequence[Image], away_s: float, rng: Rng
) -> Iterator[Shot]:
    """A cut-out leaves to the right and comes back from the left, between two of its kind."""
    scale, gain = float(rng.uniform(0.8, 1.25)), float(rng.uniform(0.8, 1.2))
    rows, size = rng.uniform(0.4, 0.65, 2), 0.4  # it comes back elsewhere in the view
    out, again = rng.uniform(0.35, 0.6, 2)
    for index, (share, back) in enumerate(_timeline(away_s)):
        canvas = clip[_to_and_fro(index, len(clip))].astype(np.float32)
        x, row = (again - share, rows[1]) if back else (out + share, rows[0])
        cast = [(target, x, scale if back else 1.0)]
        if back:
            cast = [
                (one, x + side, 1.0) for one, side in zip(others, (-0.3, 0.3), strict=True)
            ] + cast
        masks: list[Mask] = []
        for thing, place, grown in cast:
            colours, inside = _put(thing, place, row, size * grown)
            masks = [mask & ~inside for mask in masks] + [inside]
            canvas[inside] = colours[inside] * (gain if back else 1.0)
        yield Shot(_noisy(canvas, rng), masks[-1], tuple(masks[:-1]))


def _timeline(away_s: float) -> Iterator[tuple[float, bool]]:
    """Share of the way out, 0..1, and whether it is on the way back, for every frame."""
    stay, move, away = (round(seconds * FPS) for seconds in (STAY_S, MOVE_S, away_s))
    way = [(index + 1) / move for index in range(move)]
    yield from ((0.0, False) for _ in range(stay))
    yield from ((share, False) for share in way)
    yield from ((1.0, index > away // 2) for index in range(away))
    yield from ((1 - share, True) for share in way)
    yield from ((0.0, True) for _ in range(stay))


def _put(thing: Thing, x: float, y: float, size: float) -> tuple[Image, Mask]:
    rows, cols = np.nonzero(thing.mask)
    zoom = size * SIZE[0] / max(int(np.ptp(rows)), int(np.ptp(cols)), 1)
    matrix = np.array(
        [
            [zoom, 0, x * SIZE[1] - zoom * cols.mean()],
            [0, zoom, y * SIZE[0] - zoom * rows.mean()],
        ]
    )
    colours = cv2.warpAffine(thing.image, matrix, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
    inside = cv2.warpAffine(thing.mask.astype(np.uint8), matrix, SIZE[::-1]) > 0
    return np.asarray(colours, np.uint8), inside


def _to_and_fro(index: int, count: int) -> int:
    step = index % max(1, 2 * count - 2)
    return min(step, 2 * count - 2 - step) if count > 1 else 0


def _noisy(image: npt.NDArray[np.generic], rng: Rng) -> Image:
    return np.clip(image.astype(np.float32) + rng.normal(0, 2, image.shape), 0, 255).astype(
        np.uint8
    )


def scenes(data: Path, count: int, half: str = "val2017") -> Iterator[tuple[str, Iterator[Shot]]]:
    """`count` scenes of each kind, the same ones every time."""
    things, rng = read_things(data / "coco-mini", half), np.random.default_rng(0)
    kinds = {thing.category for thing in things}
    like = {kind: [thing for thing in things if thing.category == kind] for kind in kinds}
    pans = [(one, mates) for one in things if _leaves(one) and (mates := _beside(one, like))]
    clips = [_read_clip(data / "clips" / name) for name in CLIPS]
    pastes = [one for one in things if len(like[one.category]) >= 3 and one.mask.mean() > 0.03]
    for index in range(count):
        away = AWAY_S[index % len(AWAY_S)]
        one, mates = pans[int(rng.integers(len(pans)))]
        yield "pan", pan(one, mates, away, rng)
        one = pastes[int(rng.integers(len(pastes)))]
        kin = [other for other in like[one.category] if other is not one]
        picked = [kin[int(k)] for k in rng.choice(len(kin), 2, replace=False)]
        yield "paste", paste(one, picked, clips[index % len(clips)], away, rng)


def _leaves(thing: Thing) -> bool:
    """Whether a view at the other end of the photograph does not show it."""
    cols = np.nonzero(thing.mask.any(axis=0))[0] / thing.mask.shape[1]
    return bool(cols[-1] < 0.45 or cols[0] > 0.55)


def _beside(thing: Thing, like: dict[int, list[Thing]]) -> list[Thing]:
    """Others of its kind in the same photograph."""
    kin = like[thing.category]
    return [one for one in kin if one.photograph == thing.photograph and one is not thing]


def _read_clip(path: Path) -> list[Image]:
    capture, frames = cv2.VideoCapture(str(path)), []
    step = max(1, round(capture.get(cv2.CAP_PROP_FPS) / FPS))
    for index in range(60 * step):
        good, frame = capture.read()
        if not good:
            break
        if index % step == 0:
            small = cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA)
            frames.append(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8))
    return frames


class _Masklets:
    """The session's masklets: the embedded tracker and re-identification by looks."""

    def __init__(self, backbone: Backbone) -> None:
        self._masklets = LiveMasklets(EmbeddedTracker(backbone, renewer=load_renewer()), 3)

    def start(self, frame: Frame, features: Features, mask: Mask) -> None:
        region = self._masklets.seed(frame, features, mask)
        assert region is not None, "there is room"
        self._own = region.track_id

    def step(self, frame: Frame, features: Features) -> Mask:
        for region in self._masklets.step(frame, features):
            if region.track_id == self._own:
                return decode_mask(region.mask)
        return np.zeros(frame.size, bool)


class _Embedded:
    """The embedded tracker alone."""

    def __init__(self, backbone: Backbone) -> None:
        self._tracker = EmbeddedTracker(backbone, renewer=load_renewer())
        self._state = self._tracker.init_state()

    def start(self, frame: Frame, features: Features, mask: Mask) -> None:
        self._state, _ = self._tracker.add(self._state, frame, features, mask)

    def step(self, frame: Frame, features: Features) -> Mask:
        self._state, (region,) = self._tracker.step(self._state, frame, features)
        return decode_mask(region.mask)


class _Plain:
    """Label propagation from the first frame and the last four."""

    def start(self, frame: Frame, features: Features, mask: Mask) -> None:
        self._peer = PlainPropagation(features.dense, mask)

    def step(self, frame: Frame, features: Features) -> Mask:
        return self._peer.step(features.dense, frame.size)


def judge(masks: Sequence[Mask], shots: Sequence[Shot]) -> str:
    """`recovered`, `wrong` or `lost`, by the last second."""
    last = list(zip(masks, shots, strict=True))[-FPS:]
    right = np.mean([mask_iou(mask, shot.target) >= 0.5 for mask, shot in last])
    other = np.mean(
        [mask.any() and any(mask_iou(mask, o) >= 0.5 for o in shot.others) for mask, shot in last]
    )
    return "recovered" if right > 0.5 else "wrong" if other > 0.5 else "lost"


def main() -> None:
    """Run all trackers over the same scenes and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--quick", action="store_true", help="two scenes of each kind")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    args = parser.parse_args()
    backbone = Backbone.load(asset_path("efficientnet-lite2", "efficientnet-lite2-9656183e.pth"))
    found: dict[str, list[tuple[str, str]]] = {}
    for number, (kind, shots) in enumerate(scenes(args.data, 2 if args.quick else SCENES)):
        outcome = _play(backbone, list(shots))
        for name, what in outcome.items():
            found.setdefault(name, []).append((kind, what))
        print(number, kind, outcome, flush=True)
    results = {name: _shares(rows) for name, rows in found.items()}
    share = results["foveal-masklets"]["recovered"]
    emit(
        "leave_return",
        results,
        {"recovered": f">= {GOAL_RECOVERED}"},
        share >= GOAL_RECOVERED,
    )


def _play(backbone: Backbone, shots: list[Shot]) -> dict[str, str]:
    trackers: dict[str, _Masklets | _Embedded | _Plain] = {
        "foveal-masklets": _Masklets(backbone),
        "embedded-alone": _Embedded(backbone),
        "label-propagation": _Plain(),
    }
    masks: dict[str, list[Mask]] = {name: [] for name in trackers}
    for index, shot in enumerate(shots):
        time_ns = index * 1_000_000_000 // FPS
        frame = Frame(time_ns, time_ns, shot.image, "leave-return")
        features = backbone.features(shot.image)
        for name, tracker in trackers.items():
            if index == 0:
                tracker.start(frame, features, shot.target)
            masks[name].append(shot.target if index == 0 else tracker.step(frame, features))
    return {name: judge(found, shots) for name, found in masks.items()}


def _shares(rows: list[tuple[str, str]]) -> dict[str, float | int]:
    out: dict[str, float | int] = {"scenes": len(rows)}
    for what in ("recovered", "wrong", "lost"):
        out[what] = sum(row[1] == what for row in rows) / len(rows)
    for kind in ("pan", "paste"):
        own = [row[1] == "recovered" for row in rows if row[0] == kind]
        out[f"recovered_{kind}"] = sum(own) / max(1, len(own))
    return out


if __name__ == "__main__":
    main()
