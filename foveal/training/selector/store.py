"""What the pointer learns from: things of training pictures with how well each answers a phrase.

One file a picture, so that making them can be stopped, resumed and shared out. The overlaps are
those of the finished masks: what the model would show, cut out as it would be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foveal.training.pixsearch.feature_store import Sources
from foveal.training.pixsearch.grounding_data import (
    LabelledScene,
    Rng,
    by_name,
    compose,
    cut_outs,
    photographs,
    stamps,
)
from foveal.training.pixsearch.wide_pictures import compose_wide
from perception.masks.cutter import Cutter
from perception.scene.reader import SceneReader, SceneView
from reasoning.pixsearch.candidates import Offers, closer_offers, offers_of
from reasoning.pixsearch.region_selector import Embed, Shown
from reasoning.pixsearch.selection import cut, noticed_offer
from stream.errors import SourceError
from stream.frame import Frame, Mask
from stream.geometry import Box, box_iou, mask_box, mask_iou

WATCHED = 6  # one picture in so many is only watched
APART = 0.25  # overlap of boxes below which no mask is cut
BOX_SHARE = 0.8  # of a box's overlap that its mask keeps, about
COVERED = 0.5  # share of groups of which one was masked before
SMALLEST = 0.004  # of the picture that a thing must cover to be asked for
ALIAS = 0.4  # share of things that are asked for by another of their names


@dataclass(frozen=True, slots=True)
class PointOptions:
    """How many pictures are made, and what is asked of each."""

    photographs: int = 144
    composites: int = 200
    wide: int = 130
    present: int = 4  # names of the picture
    absent: int = 2  # names of other pictures
    most: int = 0  # pictures that are made of all these, mixed; 0 makes every one
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """One phrase of a picture."""

    name: str
    words: Tensor  # [D] mean word embedding
    noticed: Shown | None  # what the classifier notices for it, behind the picture's things
    covered: Tensor  # [K] how much of each thing was masked before
    ious: Tensor  # [K] overlap with what is meant
    present: bool


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """A picture's things and what was asked about it."""

    shown: Shown  # whole frame and parts
    first: int  # so many of them are of the whole frame
    asked: tuple[Asking, ...]
    watched: bool
    kind: str


def point_scenes(sources: Sources, options: PointOptions) -> list[tuple[str, bool, LabelledScene]]:
    """(kind, watched, scene): photographs as they are, composites, wide scenes, mixed."""
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
    order = np.random.default_rng((options.seed, 1)).permutation(len(found))
    return [found[n] for n in order if found[n][2].things]


def make_point_store(
    folder: Path,
    scenes: Sequence[tuple[str, bool, LabelledScene]],
    options: PointOptions,
    asker: "Asker",
    rank: int = 0,
    count: int = 1,
) -> None:
    """Write the files of every `count`-th picture from `rank` on that are not there yet, up to
    `options.most` in all."""
    folder.mkdir(parents=True, exist_ok=True)
    every = sorted({thing.names[0] for _, _, scene in scenes for thing in scene.things})
    for number, (kind, watched, scene) in enumerate(scenes):
        path = folder / f"{number:05d}.pt"
        if number % count != rank or path.is_file():
            continue
        if options.most and len(list(folder.glob("*.pt"))) >= options.most:
            return
        rng = np.random.default_rng((options.seed, number))
        table = _as_dict(asker.ask(scene, every, options, rng))
        part = path.with_suffix(".part")
        torch.save(table | {"kind": kind, "watched": watched}, part)
        part.replace(path)


def read_point_store(folder: Path) -> list[Pictured]:
    """All pictures of a folder; raises SourceError when there is none."""
    paths = sorted(folder.glob("*.pt"))
    if not paths:
        raise SourceError(f"expected pictures of the pointer in {folder}, found none")
    return [_from_dict(torch.load(path, weights_only=True)) for path in paths]


class Asker:
    """Asks pictures as the pointer is asked, and knows the answers."""

    def __init__(self, reader: SceneReader, embed: Embed, cutter: Cutter) -> None:
        self._reader, self._embed, self._cutter = reader, embed, cutter

    def ask(
        self, scene: LabelledScene, every: Sequence[str], options: PointOptions, rng: Rng
    ) -> Pictured:
        """One picture; `every` name of all pictures is where absent ones are drawn from."""
        view = self._reader.read(Frame(0, 0, scene.image, "train"))
        whole = offers_of(view)
        seen = _Seen(self._cutter, view, whole.plus(closer_offers(view, self._reader.detect)))
        names = sorted({t.names[0] for t in scene.things if t.mask.mean() >= SMALLEST})
        chosen = [names[n] for n in rng.permutation(len(names))[: options.present]]
        absent = [name for name in every if all(name not in t.names for t in scene.things)]
        others = [absent[n] for n in rng.permutation(len(absent))[: options.absent]]
        asked = tuple(self._asking(name, scene, seen, rng) for name in (*chosen, *others))
        return Pictured(seen.offers.shown, len(whole.things), asked, False, "")

    def _asking(self, name: str, scene: LabelledScene, seen: "_Seen", rng: Rng) -> Asking:
        mine = [thing for thing in scene.things if name in thing.names]
        truths, phrase = [thing.mask for thing in mine], name
        if mine and len(mine[0].names) > 1 and rng.random() < ALIAS:
            phrase = mine[0].names[int(rng.integers(len(mine[0].names)))]
        done = np.zeros(scene.image.shape[:2], bool)
        if len(truths) > 1 and rng.random() < COVERED:  # one of the group was masked before
            done = truths.pop(int(rng.integers(len(truths))))
        noticed = self._reader.notice(seen.view, self._reader.meaning(phrase))
        offers, extra = seen.offers, None
        ious = [seen.overlap(n, truths) for n in range(len(offers.things))]
        if noticed is not None:
            extra = noticed_offer(seen.view, noticed)
            mask = cut(self._cutter, seen.view, extra, 0)
            ious.append(max((mask_iou(mask, truth) for truth in truths), default=0.0))
            offers = offers.plus(extra)
        covered = [float(done[b[1] : b[3], b[0] : b[2]].mean()) for b in _boxes(offers)]
        return Asking(
            phrase,
            self._embed(phrase),
            extra.shown if extra is not None else None,
            torch.tensor(covered),
            torch.tensor(ious),
            bool(mine),
        )


class _Seen:
    """A view's things, cut out once."""

    def __init__(self, cutter: Cutter, view: SceneView, offers: Offers) -> None:
        self._cutter, self.view, self.offers = cutter, view, offers
        self._masks: dict[int, Mask] = {}

    def overlap(self, number: int, truths: Sequence[Mask]) -> float:
        """Of a thing's finished mask with the nearest of the things that are meant."""
        place = self.offers.things[number]
        boxes = [box for truth in truths if (box := mask_box(truth)) is not None]
        near = max((box_iou(place.box, box) for box in boxes), default=0.0)
        if near < APART:
            return BOX_SHARE * near
        if number not in self._masks:
            self._masks[number] = cut(self._cutter, self.view, self.offers, number)
        return max(mask_iou(self._masks[number], truth) for truth in truths)


def _boxes(offers: Offers) -> list[Box]:
    return [thing.box for thing in offers.things]


def _as_dict(pictured: Pictured) -> dict[str, object]:
    return {
        "shown": _shown_dict(pictured.shown),
        "first": pictured.first,
        "asked": [
            {
                "name": one.name,
                "words": one.words.half(),
                "noticed": _shown_dict(one.noticed) if one.noticed is not None else None,
                "covered": one.covered,
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
        noticed, words = part["noticed"], part["words"]
        covered, ious = part["covered"], part["ious"]
        assert isinstance(words, Tensor)
        assert isinstance(covered, Tensor)
        assert isinstance(ious, Tensor)
        extra = shown(noticed) if isinstance(noticed, dict) else None
        name, present = str(part["name"]), bool(part["present"])
        return Asking(name, words.float(), extra, covered, ious, present)

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
