"""What the pointer learns from: things of training pictures with how well each answers a phrase.

One file a picture, so that making them can be stopped, resumed and shared out. The overlaps are
those of the finished masks: what the model would show, cut out as it would be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from foveal.training.ground_data import (
    Rng,
    Scene,
    by_name,
    compose,
    cut_outs,
    photographs,
    stamps,
)
from foveal.training.ground_store import Sources
from foveal.training.ground_wide import compose_wide
from perception.scene import SceneReader
from reasoning.pixsearch.grounding import Grounder
from reasoning.pixsearch.lmm import PixSearchLMM
from reasoning.pixsearch.offers import Offers
from reasoning.pixsearch.pointer import Shown, traces
from stream.errors import SourceError
from stream.frame import Frame, Mask
from stream.masks import box_iou, mask_box, mask_iou

WATCHED = 6  # one picture in so many is only watched
APART = 0.25  # overlap of boxes below which no mask is cut
BOX_SHARE = 0.8  # of a box's overlap that its mask keeps, about
COVERED = 0.5  # share of groups of which one was masked before
SMALLEST = 0.004  # of the picture that a thing must cover to be asked for


@dataclass(frozen=True, slots=True)
class PointOptions:
    """How many pictures are made, and what is asked of each."""

    photographs: int = 144
    composites: int = 110
    wide: int = 70
    present: int = 3  # names of the picture
    absent: int = 1  # names of other pictures
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """One phrase of a picture."""

    name: str
    state: Tensor  # [D]
    words: Tensor  # [D]
    own: Shown | None  # the decoder's own mask, behind the picture's things
    first_seen: Tensor  # [K1, TRACES] of the things of the whole frame
    seen: Tensor  # [K, TRACES] of all things
    ious: Tensor  # [K] overlap with what is meant
    present: bool


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """A picture's things and what was asked about it."""

    shown: Shown  # [K] whole frame and parts
    first: int  # K1 of them are of the whole frame
    asked: tuple[Asking, ...]
    watched: bool
    kind: str


def point_scenes(sources: Sources, options: PointOptions) -> list[tuple[str, bool, Scene]]:
    """(kind, watched, scene): photographs as they are, composites, wide scenes."""
    rng = np.random.default_rng(options.seed)
    photos = photographs(sources.coco, sources.coco128)
    watched = [photo for n, photo in enumerate(photos) if n % WATCHED == 0]
    kept = [photo for n, photo in enumerate(photos) if n % WATCHED]
    chosen = [("photograph", True, p) for p in watched] + [("photograph", False, p) for p in kept]
    found = chosen[: options.photographs]
    for mine, hidden in ((kept, False), (watched, True)):
        cuts = cut_outs(mine)
        if sources.stamps is not None:  # every sixth stamp is only watched as well
            every = stamps(sources.stamps)
            cuts += [s for n, s in enumerate(every) if (n % WATCHED == 0) is hidden]
        part = WATCHED if hidden else 1
        table = by_name(cuts)
        for make, count in (
            (compose, options.composites // part),
            (compose_wide, options.wide // part),
        ):
            kind = "composite" if make is compose else "wide"
            for _ in range(count):
                backdrop = mine[int(rng.integers(len(mine)))]
                found.append((kind, hidden, make(backdrop, table, rng)))
    return [entry for entry in found if entry[2].things]


def make_point_store(
    folder: Path,
    scenes: Sequence[tuple[str, bool, Scene]],
    options: PointOptions,
    reader: SceneReader,
    model: PixSearchLMM,
    grounder: Grounder,
    rank: int = 0,
    count: int = 1,
) -> None:
    """Write the files of every `count`-th picture from `rank` on that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    every = sorted({thing.names[0] for _, _, scene in scenes for thing in scene.things})
    for number, (kind, watched, scene) in enumerate(scenes):
        path = folder / f"{number:05d}.pt"
        if number % count != rank or path.is_file():
            continue
        rng = np.random.default_rng((options.seed, number))
        frame = Frame(0, 0, scene.image, "train")
        pictured = _Asker(reader, model, grounder, frame).ask(scene, every, options, rng)
        table = _as_dict(pictured) | {"kind": kind, "watched": watched}
        part = path.with_suffix(".part")
        torch.save(table, part)
        part.replace(path)


def read_point_store(folder: Path) -> list[Pictured]:
    """All pictures of a folder; raises SourceError when there is none."""
    paths = sorted(folder.glob("*.pt"))
    if not paths:
        raise SourceError(f"expected pictures of the pointer in {folder}, found none")
    return [_from_dict(torch.load(path, weights_only=True)) for path in paths]


class _Asker:
    """Asks one picture."""

    def __init__(
        self, reader: SceneReader, model: PixSearchLMM, grounder: Grounder, frame: Frame
    ) -> None:
        self._model, self._grounder = model, grounder
        self._view = reader.read(frame)
        self._state = grounder.begin_view(self._view)
        self._masks: dict[int, Mask] = {}

    def ask(self, scene: Scene, every: Sequence[str], options: PointOptions, rng: Rng) -> Pictured:
        whole = self._grounder.offers(self._state, closer=False)
        offers = self._grounder.offers(self._state, closer=True)
        names = sorted({t.names[0] for t in scene.things if t.mask.mean() >= SMALLEST})
        chosen = [names[n] for n in rng.permutation(len(names))[: options.present]]
        absent = [name for name in every if all(name not in t.names for t in scene.things)]
        others = [absent[n] for n in rng.permutation(len(absent))[: options.absent]]
        asked = []
        for name in (*chosen, *others):
            truths = [thing.mask for thing in scene.things if name in thing.names]
            asked.append(self._asking(name, truths, offers, len(whole.things), rng))
        return Pictured(offers.shown, len(whole.things), tuple(asked), False, "")

    def _asking(
        self, name: str, truths: list[Mask], offers: Offers, first: int, rng: Rng
    ) -> Asking:
        state, present = self._state, bool(truths)
        covered = torch.zeros_like(state.covered)
        if len(truths) > 1 and rng.random() < COVERED:  # one of the group was masked before
            done = truths.pop(int(rng.integers(len(truths))))
            rows, cols = covered.shape
            small = cv2.resize(done.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
            covered = torch.from_numpy(np.asarray(small))
        state.covered = covered
        alias = name
        span = self._model.span_of(self._view, alias)
        soft, presence = self._grounder.whole_mask(state, span.query)
        boxes = offers.shown.boxes
        first_seen = traces(torch.from_numpy(soft), covered, presence, boxes[:first])
        soft, presence = self._grounder.soft_mask(state, span.query)
        own = self._grounder.own_offer(self._view, soft, presence)
        ious = [self._overlap(offers, n, truths) for n in range(len(offers.things))]
        if own is not None:
            boxes = torch.cat([boxes, own.shown.boxes])
            mask = own.things[0].mask
            assert mask is not None
            ious.append(max((mask_iou(mask, truth) for truth in truths), default=0.0))
        seen = traces(torch.from_numpy(soft), covered, presence, boxes)
        shown = own.shown if own is not None else None
        words, heard = span.words[0].clone(), span.state[0].clone()
        return Asking(name, heard, words, shown, first_seen, seen, torch.tensor(ious), present)

    def _overlap(self, offers: Offers, number: int, truths: Sequence[Mask]) -> float:
        """Of a thing's finished mask with the nearest of the things that are meant."""
        place = offers.things[number]
        boxes = [box for truth in truths if (box := mask_box(truth)) is not None]
        near = max((box_iou(place.box, box) for box in boxes), default=0.0)
        if near < APART:
            return BOX_SHARE * near
        if number not in self._masks:
            self._masks[number] = self._grounder.cut(self._view, offers, number)
        return max(mask_iou(self._masks[number], truth) for truth in truths)


def _as_dict(pictured: Pictured) -> dict[str, object]:
    return {
        "shown": _shown_dict(pictured.shown),
        "first": pictured.first,
        "asked": [
            {
                "name": one.name,
                "state": one.state.half(),
                "words": one.words.half(),
                "own": _shown_dict(one.own) if one.own is not None else None,
                "first_seen": one.first_seen,
                "seen": one.seen,
                "ious": one.ious,
                "present": one.present,
            }
            for one in pictured.asked
        ],
    }


def _shown_dict(shown: Shown) -> dict[str, object]:
    return {
        "posteriors": shown.posteriors.half(),
        "boxes": shown.boxes,
        "sure": shown.sure,
        "sources": list(shown.sources),
    }


def _from_dict(table: dict[str, object]) -> Pictured:
    def shown(part: dict[str, object]) -> Shown:
        posteriors, boxes, sure = part["posteriors"], part["boxes"], part["sure"]
        assert isinstance(posteriors, Tensor)
        assert isinstance(boxes, Tensor)
        assert isinstance(sure, Tensor)
        sources = part["sources"]
        assert isinstance(sources, list)
        return Shown(posteriors.float(), boxes, sure, tuple(sources))

    def asking(part: dict[str, object]) -> Asking:
        own = part.pop("own")
        rest = {k: v.float() if isinstance(v, Tensor) else v for k, v in part.items()}
        return Asking(own=shown(own) if isinstance(own, dict) else None, **rest)  # type: ignore[arg-type]

    given, asked = table["shown"], table["asked"]
    assert isinstance(given, dict)
    assert isinstance(asked, list)
    return Pictured(
        shown(given),
        int(str(table["first"])),
        tuple(asking(part) for part in asked),
        bool(table["watched"]),
        str(table["kind"]),
    )
