"""Training of the selector alone: on cached things of pictures, and on names without pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.training.data.scenes import Rng
from foveal.training.selector.store import PhraseExample, PictureExample
from reasoning.pixsearch.region_selector import LOOKED, NOTICED, CandidateFeatures, RegionSelector

NAMES = 192  # phrases of a step
ASKED = 16  # phrases of pictures of a step
SHARPNESS = 4.0  # of the choice whose overlap is maximised
FLOOR = 0.02  # weight of what neither overlaps nor would be chosen
RARE = 30.0  # a class that fits counts so much more than one that does not
STAGES = 3  # whole frame; its parts as well; what the classifier notices as well


class SelectorTask:
    """Draws phrases and gives their losses."""

    def __init__(
        self,
        selector: RegionSelector,
        pictures: Sequence[PictureExample],
        names: Tensor,
        meanings: Tensor,
        weights: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """`names` [N, D] are mean word embeddings of phrases and `meanings` [N, C] 0..1 how well
        each class fits each; `weights` are those of names and of pictures."""
        self._selector, self._names, self._meanings = selector, names, meanings
        self._weights = weights
        learnt = [picture for picture in pictures if not picture.watched]
        self._asked = [(picture, one) for picture in learnt for one in picture.asked]

    def losses(self, rng: Rng, step: int) -> Mapping[str, Tensor]:
        """One batch."""
        rows = torch.from_numpy(rng.integers(0, len(self._meanings), NAMES))
        drawn = [self._asked[int(n)] for n in rng.integers(0, len(self._asked), ASKED)]
        # One pass over the class names for all.
        own = [one.words[None] for _, one in drawn]
        fits = self._selector.fits(torch.cat([self._names[rows], *own]))
        words = self._of_names(fits[:NAMES], self._meanings[rows].float())
        # Few pictures must not teach words: trained through the names, they were learnt by heart.
        pairs = zip(drawn, fits[NAMES:].detach(), strict=True)
        terms = [self._of_picture(picture, one, fit, rng) for (picture, one), fit in pairs]
        overlap, regret = (torch.stack(rows).mean() for rows in zip(*terms, strict=True))
        loss = self._weights[0] * words + self._weights[1] * (overlap + regret)
        return {"names": words, "overlap": overlap, "regret": regret, "loss": loss}

    @staticmethod
    def _of_names(fits: Tensor, truth: Tensor) -> Tensor:
        """Cross-entropy of fits with the teacher's."""
        weight = 1 + (RARE - 1) * truth
        each = F.binary_cross_entropy_with_logits(fits, truth, weight, reduction="none")
        return each.sum(1).mean() / RARE

    def _of_picture(
        self, picture: PictureExample, one: PhraseExample, fits: Tensor, rng: Rng
    ) -> tuple[Tensor, Tensor]:
        logits, ious = scored(self._selector, picture, one, fits, int(rng.integers(STAGES)))
        if not len(logits):
            return self._selector.level * 0, self._selector.level * 0
        overlap = F.binary_cross_entropy_with_logits(logits, ious, reduction="none")
        share = (SHARPNESS * logits).softmax(0)
        regret = ious.max() - (share * ious).sum()
        # What would be chosen, and what overlaps: the many others are told apart by it.
        weight = ious + logits.detach().softmax(0) + FLOOR
        return (overlap * weight).sum(), regret


def scored(
    selector: RegionSelector, picture: PictureExample, one: PhraseExample, fits: Tensor, stage: int
) -> tuple[Tensor, Tensor]:
    """Logits and true overlaps [K] of the things that a phrase is shown at a stage."""
    shown = picture.features if one.noticed is None else picture.features.plus(one.noticed)
    late = {NOTICED} if stage == 1 else {LOOKED, NOTICED} if stage == 0 else set()
    kept = [n for n, source in enumerate(shown.sources) if source not in late]
    if not kept:
        return torch.zeros(0), torch.zeros(0)
    part = CandidateFeatures(
        shown.posteriors[kept],
        shown.boxes[kept],
        shown.sure[kept],
        tuple(shown.sources[n] for n in kept),
    )
    return selector(fits, part, one.covered[kept]), one.ious[kept]


def chosen(
    selector: RegionSelector, pictures: Sequence[PictureExample], sure: float
) -> list[tuple[str, bool, float, float, float]]:
    """(kind, present, expected, overlap, best possible overlap) of every phrase, as answered."""
    found = []
    selector.eval()
    with torch.inference_mode():
        for picture in pictures:
            for one in picture.asked:
                fits = selector.fits(one.words[None])[0]
                expected, overlap = 0.0, 0.0
                for stage in range(STAGES):
                    logits, ious = scored(selector, picture, one, fits, stage)
                    if len(logits):
                        top = int(logits.argmax())
                        expected, overlap = float(logits[top].sigmoid()), float(ious[top])
                    if expected >= sure:
                        break
                best = float(one.ious.max()) if len(one.ious) else 0.0
                found.append((picture.kind, one.present, expected, overlap, best))
    return found


def figures(
    selector: RegionSelector, pictures: Sequence[PictureExample], gate: float, sure: float
) -> dict[str, float]:
    """gIoU of phrases for what is there, the best possible, and the share of others refused."""
    rows = chosen(selector, pictures, sure)
    here = [row for row in rows if row[1]]
    gone = [row for row in rows if not row[1]]
    return {
        "giou": float(np.mean([row[3] for row in here])) if here else 0.0,
        "giou_gated": float(np.mean([row[3] * (row[2] >= gate) for row in here])) if here else 0.0,
        "possible": float(np.mean([row[4] for row in here])) if here else 0.0,
        "refused": float(np.mean([row[2] < gate for row in gone])) if gone else 0.0,
    }
