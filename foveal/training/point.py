"""Training of the pointer alone: on cached things of pictures, and on names without pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.training.ground_data import Rng
from foveal.training.names import NameStates
from foveal.training.point_store import Asking, Pictured
from reasoning.pixsearch.pointer import TRACES, Pointer, Shown

NAMES = 192  # phrases of a step
ASKED = 12  # phrases of pictures of a step
SHARPNESS = 4.0  # of the choice whose overlap is maximised
FLOOR = 0.02  # weight of what neither overlaps nor would be chosen
HALF = 0.5  # share of the steps that see the whole frame's things only
RARE = 30.0  # a class that fits counts so much more than one that does not


class PointTask:
    """Draws phrases and gives their losses."""

    def __init__(
        self,
        pointer: Pointer,
        pictures: Sequence[Pictured],
        names: NameStates,
        meanings: Tensor,
        weights: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """`meanings` [N, C] 0..1 says how well each class fits each of `names`' phrases;
        `weights` are those of names and of pictures."""
        self._pointer, self._names, self._meanings = pointer, names, meanings
        self._weights = weights
        learnt = [picture for picture in pictures if not picture.watched]
        self._asked = [(picture, one) for picture in learnt for one in picture.asked]

    def losses(self, rng: Rng, step: int) -> Mapping[str, Tensor]:
        """One batch."""
        rows = torch.from_numpy(rng.integers(0, len(self._meanings), NAMES))
        context = int(rng.integers(len(self._names.states)))
        drawn = [self._asked[int(n)] for n in rng.integers(0, len(self._asked), ASKED)]
        # One pass over the class names for all.
        fits = self._pointer.fits(
            torch.cat([self._names.states[context, rows], *(one.state[None] for _, one in drawn)]),
            torch.cat([self._names.embeddings[context, rows], *(a.words[None] for _, a in drawn)]),
        )
        words = self._of_names(fits[:NAMES], self._meanings[rows].float())
        # Few pictures must not teach words: trained through the names, they were learnt by heart.
        own = zip(drawn, fits[NAMES:].detach(), strict=True)
        terms = [self._of_picture(picture, one, fit, rng) for (picture, one), fit in own]
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
        self, picture: Pictured, one: Asking, fits: Tensor, rng: Rng
    ) -> tuple[Tensor, Tensor]:
        logits, ious = scored(self._pointer, picture, one, fits, bool(rng.random() < HALF))
        if not len(logits):
            return logits.sum(), logits.sum()
        overlap = F.binary_cross_entropy_with_logits(logits, ious, reduction="none")
        share = (SHARPNESS * logits).softmax(0)
        regret = ious.max() - (share * ious).sum()
        # What would be chosen, and what overlaps: the many others are told apart by it.
        weight = ious + logits.detach().softmax(0) + FLOOR
        return (overlap * weight).sum(), regret


def scored(
    pointer: Pointer, picture: Pictured, one: Asking, fits: Tensor, whole: bool
) -> tuple[Tensor, Tensor]:
    """Logits and true overlaps [K] of the things shown for a phrase; `whole`: no closer looks."""
    if whole:
        shown, seen = first_of(picture.shown, picture.first), one.first_seen
    else:
        shown = picture.shown if one.own is None else picture.shown.plus(one.own)
        seen = one.seen
    if not len(shown.sources):
        return torch.zeros(0), torch.zeros(0)
    return pointer(fits, shown, seen.reshape(-1, TRACES)), one.ious[: len(shown.sources)]


def first_of(shown: Shown, count: int) -> Shown:
    """The first things."""
    return Shown(
        shown.posteriors[:count], shown.boxes[:count], shown.sure[:count], shown.sources[:count]
    )


def chosen(
    pointer: Pointer, pictures: Sequence[Pictured], sure: float
) -> list[tuple[str, bool, float, float, float]]:
    """(kind, present, expected, overlap, best possible overlap) of every phrase, as answered."""
    found = []
    pointer.eval()
    with torch.inference_mode():
        for picture in pictures:
            for one in picture.asked:
                fits = pointer.fits(one.state[None], one.words[None])[0]
                logits, ious = scored(pointer, picture, one, fits, whole=True)
                if not len(logits) or float(logits.max().sigmoid()) < sure:
                    logits, ious = scored(pointer, picture, one, fits, whole=False)
                best = float(one.ious.max()) if len(one.ious) else 0.0
                if not len(logits):
                    found.append((picture.kind, one.present, 0.0, 0.0, best))
                    continue
                top = int(logits.argmax())
                row = (float(logits[top].sigmoid()), float(ious[top]), best)
                found.append((picture.kind, one.present, *row))
    return found


def figures(
    pointer: Pointer, pictures: Sequence[Pictured], gate: float, sure: float
) -> dict[str, float]:
    """gIoU of phrases for what is there, the best possible, and the share of others refused."""
    rows = chosen(pointer, pictures, sure)
    here = [row for row in rows if row[1]]
    gone = [row for row in rows if not row[1]]
    return {
        "giou": float(np.mean([row[3] for row in here])) if here else 0.0,
        "giou_gated": float(np.mean([row[3] * (row[2] >= gate) for row in here])) if here else 0.0,
        "possible": float(np.mean([row[4] for row in here])) if here else 0.0,
        "refused": float(np.mean([row[2] < gate for row in gone])) if gone else 0.0,
    }
