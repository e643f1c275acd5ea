"""What the selector learns from: things of training pictures with how well each answers a phrase.

One file a picture, so that making them can be stopped, resumed and shared out. The overlaps are
those of the finished masks: what the model would show, cut out as it would be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foveal.training.data.scene_mix import Mix
from foveal.training.data.scenes import LabelledScene, Rng
from perception.masks.cutter import Cutter
from perception.scene.reader import SceneReader, SceneView
from reasoning.pixsearch.candidates import RegionCandidates, candidates_of, closer_candidates
from reasoning.pixsearch.region_grounding import cut, noticed_candidate
from reasoning.pixsearch.region_selector import CandidateFeatures, Embed
from stream.errors import SourceError
from stream.frame import Frame, Mask
from stream.geometry import Box, box_iou, mask_box, mask_iou

APART = 0.25  # overlap of boxes below which no mask is cut
BOX_SHARE = 0.8  # of a box's overlap that its mask keeps, about
COVERED = 0.5  # share of groups of which one was masked before
SMALLEST = 0.004  # of the picture that a thing must cover to be asked for
ALIAS = 0.4  # share of things that are asked for by another of their names


@dataclass(frozen=True, slots=True)
class SelectorOptions:
    """What is asked of each picture."""

    present: int = 4  # names of the picture
    absent: int = 2  # names of other pictures
    most: int = 0  # pictures that are taken of the mix; 0 takes every one
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PhraseExample:
    """One phrase of a picture."""

    name: str
    words: Tensor  # [D] mean word embedding
    noticed: CandidateFeatures | None  # what the classifier notices, behind the picture's things
    covered: Tensor  # [K] how much of each thing was masked before
    ious: Tensor  # [K] overlap with what is meant
    present: bool


@dataclass(frozen=True, slots=True, eq=False)
class PictureExample:
    """A picture's things and what was asked about it."""

    features: CandidateFeatures  # of things of the whole frame and of its parts
    asked: tuple[PhraseExample, ...]
    watched: bool = False
    kind: str = ""


def make_selector_store(
    folder: Path,
    scenes: Mix,
    options: SelectorOptions,
    asker: "PhraseAsker",
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
        example = replace(asker.ask(scene, every, options, rng), kind=kind, watched=watched)
        part = path.with_suffix(".part")
        torch.save(example, part)
        part.replace(path)


def read_selector_store(folder: Path) -> list[PictureExample]:
    """All pictures of a folder; raises SourceError when there is none."""
    paths = sorted(folder.glob("*.pt"))
    if not paths:
        raise SourceError(f"expected pictures of the selector in {folder}, found none")
    with torch.serialization.safe_globals([PictureExample, PhraseExample, CandidateFeatures]):
        return [torch.load(path, weights_only=True) for path in paths]


class PhraseAsker:
    """Asks pictures as the selector is asked, and knows the answers."""

    def __init__(self, reader: SceneReader, embed: Embed, cutter: Cutter) -> None:
        self._reader, self._embed, self._cutter = reader, embed, cutter

    def ask(
        self, scene: LabelledScene, every: Sequence[str], options: SelectorOptions, rng: Rng
    ) -> PictureExample:
        """One picture; `every` name of all pictures is where absent ones are drawn from."""
        view = self._reader.read(Frame(0, 0, scene.image, "train"))
        whole = candidates_of(view)
        seen = _Seen(self._cutter, view, whole.plus(closer_candidates(view, self._reader.detect)))
        names = sorted({t.names[0] for t in scene.things if t.mask.mean() >= SMALLEST})
        chosen = [names[n] for n in rng.permutation(len(names))[: options.present]]
        absent = [name for name in every if all(name not in t.names for t in scene.things)]
        others = [absent[n] for n in rng.permutation(len(absent))[: options.absent]]
        asked = tuple(self._asking(name, scene, seen, rng) for name in (*chosen, *others))
        return PictureExample(seen.candidates.features, asked)

    def _asking(self, name: str, scene: LabelledScene, seen: "_Seen", rng: Rng) -> PhraseExample:
        mine = [thing for thing in scene.things if name in thing.names]
        truths, phrase = [thing.mask for thing in mine], name
        if mine and len(mine[0].names) > 1 and rng.random() < ALIAS:
            phrase = mine[0].names[int(rng.integers(len(mine[0].names)))]
        done = np.zeros(scene.image.shape[:2], bool)
        if len(truths) > 1 and rng.random() < COVERED:  # one of the group was masked before
            done = truths.pop(int(rng.integers(len(truths))))
        noticed = self._reader.notice(seen.view, self._reader.meaning(phrase))
        candidates, extra = seen.candidates, None
        ious = [seen.overlap(n, truths) for n in range(len(candidates.things))]
        if noticed is not None:
            extra = noticed_candidate(seen.view, noticed)
            mask = cut(self._cutter, seen.view, extra, 0)
            ious.append(max((mask_iou(mask, truth) for truth in truths), default=0.0))
            candidates = candidates.plus(extra)
        covered = [float(done[b[1] : b[3], b[0] : b[2]].mean()) for b in _boxes(candidates)]
        return PhraseExample(
            phrase,
            self._embed(phrase),
            extra.features if extra is not None else None,
            torch.tensor(covered),
            torch.tensor(ious),
            bool(mine),
        )


class _Seen:
    """A view's things, cut out once."""

    def __init__(self, cutter: Cutter, view: SceneView, candidates: RegionCandidates) -> None:
        self._cutter, self.view, self.candidates = cutter, view, candidates
        self._masks: dict[int, Mask] = {}

    def overlap(self, number: int, truths: Sequence[Mask]) -> float:
        """Of a thing's finished mask with the nearest of the things that are meant."""
        place = self.candidates.things[number]
        boxes = [box for truth in truths if (box := mask_box(truth)) is not None]
        near = max((box_iou(place.box, box) for box in boxes), default=0.0)
        if near < APART:
            return BOX_SHARE * near
        if number not in self._masks:
            self._masks[number] = cut(self._cutter, self.view, self.candidates, number)
        return max(mask_iou(self._masks[number], truth) for truth in truths)


def _boxes(candidates: RegionCandidates) -> list[Box]:
    return [thing.box for thing in candidates.things]
