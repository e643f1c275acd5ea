"""Stage 1's first phase: connector-free training of the mask decoder on cached span states.

The language model is frozen here, so its states of a name are read once; only the projection and
the decoder learn. The names' queries are also drawn to the rows of the frozen classifiers, so that
a name that no mask was trained for still points at what the classifiers know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.training.pixsearch.feature_store import MASK, Row, Store, here, tensors, truths
from foveal.training.pixsearch.objective import LossWeights
from foveal.training.pixsearch.span_states import NameStates
from reasoning.pixsearch.mask_decoder import focal_tversky, mask_bce
from reasoning.pixsearch.mask_head import prompt_map
from reasoning.pixsearch.modeling import PixSearchModel

Rng = np.random.Generator
CELLS = (MASK[0] // 2, MASK[1] // 2)
# Of the pictures of a step; what a store lacks goes to all of it.
SHARES = {"photograph": 0.34, "composite": 0.22, "wide": 0.22, "frame": 0.12, "weak": 0.1}
LEAST = 16  # pixels of a mask at stride 4 below which it is not asked for


@dataclass(frozen=True, slots=True)
class HeadsOptions:
    """What a step sees."""

    pictures: int = 6
    queries: int = 4  # per picture
    pointed: float = 0.3  # share of queries with a point
    absent: float = 0.12  # share of queries for what is not in the picture
    weak: float = 0.3  # weight of weak masks
    align: float = 0.5  # weight of drawing names to the classifiers' rows
    classes: int = 256  # of them in a step
    bf16: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One query of a step."""

    name: str
    truth: Tensor  # [h4, w4]
    prompt: Tensor  # [2, h8, w8]
    weak: bool


class HeadsTask:
    """Draws queries of a store and gives their losses."""

    def __init__(
        self,
        model: PixSearchModel,
        store: Store,
        names: NameStates,
        class_rows: Tensor,
        class_names: Sequence[str],
        options: HeadsOptions,
        weights: LossWeights,
    ) -> None:
        """`class_rows` [C, 1280] are the classifiers' weights, `class_names` their names."""
        self._model, self._store, self._names = model, store, names
        self._options, self._weights = options, weights
        self._index = names.index()
        self._class_rows = class_rows - class_rows.mean(0)
        self._class_names = torch.tensor([self._index[name] for name in class_names])
        self._of_picture: dict[int, list[Row]] = {}
        for row in store.rows:
            if row.picture not in store.watched:
                self._of_picture.setdefault(row.picture, []).append(row)
        kinds = store.kinds
        self._pools = {kind: [n for n in self._of_picture if kinds[n] == kind] for kind in SHARES}
        self._every = sorted({name for row in store.rows for name in row.names})

    def losses(self, rng: Rng, step: int) -> Mapping[str, Tensor]:
        """One batch."""
        with torch.autocast(
            torch.get_default_device().type, torch.bfloat16, enabled=self._options.bf16
        ):
            return self._losses(rng)

    def _losses(self, rng: Rng) -> dict[str, Tensor]:
        options, weights = self._options, self._weights
        pictures = [self._picture(rng) for _ in range(options.pictures)]
        asks, owner = [], []
        for number, picture in enumerate(pictures):
            for _ in range(options.queries):
                ask = self._ask(picture, rng)
                if ask is not None:
                    asks.append(ask)
                    owner.append(number)
        cells = self._model.masks.read(*tensors(self._store, pictures))
        query = self._query([ask.name for ask in asks], rng)
        prompts = torch.stack([ask.prompt for ask in asks])
        logits, presence = self._model.mask(cells, torch.tensor(owner), query, prompts)
        logits, truth = logits.float(), torch.stack([ask.truth for ask in asks])
        weak = torch.tensor([ask.weak for ask in asks])
        seen = (truth.flatten(1).amax(1) > 0.5).float()
        terms = {
            "tversky": focal_tversky(logits[~weak], truth[~weak]),
            "bce": mask_bce(logits[~weak], truth[~weak]),
            "weak": focal_tversky(logits[weak], truth[weak]),
            "presence": F.binary_cross_entropy_with_logits(presence.float(), seen),
            "align": self._align(rng),
        }
        terms["loss"] = (
            weights.tversky * (terms["tversky"] + options.weak * terms["weak"])
            + weights.bce * terms["bce"]
            + weights.presence * terms["presence"]
            + options.align * terms["align"]
        )
        return terms

    def _picture(self, rng: Rng) -> int:
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        pool = self._pools[kind] or list(self._of_picture)
        return pool[int(rng.integers(len(pool)))]

    def _ask(self, picture: int, rng: Rng) -> Ask | None:
        rows, options = self._of_picture[picture], self._options
        weak = self._store.kinds[picture] == "weak"
        blank = torch.zeros(2, *CELLS)
        if rng.random() < options.absent:
            name = self._every[int(rng.integers(len(self._every)))]
            if any(name in row.names for row in rows):
                return None
            return Ask(name, torch.zeros(MASK), blank, weak)
        row = _draw(rows, rng)
        same = [other for other in rows if other.names[0] == row.names[0]]
        name = row.names[int(rng.integers(len(row.names)))] if rng.random() < 0.4 else row.names[0]
        masks = truths(self._store, [other.mask for other in same])
        if rng.random() < options.pointed:
            truth = masks[same.index(row)]
            blank[0] = _point(truth, rng)
        elif len(same) > 1 and rng.random() < 0.4:
            # Mask feedback: some of them were masked before, the rest is meant.
            done = int(rng.integers(1, len(same)))
            cover = masks[:done].amax(0)
            truth = masks[done:].amax(0)
            blank[1] = F.avg_pool2d(cover[None], 2)[0]
        else:
            truth = masks.amax(0)
        if float((truth > 0.5).sum()) < LEAST:
            return None
        return Ask(name, truth, blank, weak)

    def _query(self, names: Sequence[str], rng: Rng) -> Tensor:
        rows = torch.tensor([self._index[name] for name in names])
        context = here(torch.from_numpy(rng.integers(0, len(self._names.states), len(names))))
        return self._model.query(
            self._names.states[context, rows], self._names.embeddings[context, rows]
        )

    def _align(self, rng: Rng) -> Tensor:
        """InfoNCE between names' queries and the classifiers' rows in the query space."""
        count = min(self._options.classes, len(self._class_names))
        chosen = here(torch.from_numpy(rng.permutation(len(self._class_names))[:count]))
        rows = self._class_names[chosen]
        context = int(rng.integers(len(self._names.states)))
        query = self._model.query(
            self._names.states[context, rows], self._names.embeddings[context, rows]
        )
        alike = (
            10 * F.normalize(query, dim=-1) @ self._model.masks.of_top(self._class_rows[chosen]).T
        )
        return F.cross_entropy(alike.float(), torch.arange(count))


def watched_queries(store: Store) -> list[tuple[int, str, Tensor]]:
    """(picture, name, truth [h4, w4]) of every name of every watched picture."""
    found: dict[tuple[int, str], list[int]] = {}
    for row in store.rows:
        if row.picture in store.watched:
            found.setdefault((row.picture, row.names[0]), []).append(row.mask)
    asked = [(n, name, truths(store, masks).amax(0).cpu()) for (n, name), masks in found.items()]
    return [entry for entry in asked if float((entry[2] > 0.5).sum()) >= LEAST]


def watched_masks(
    model: PixSearchModel, store: Store, names: NameStates
) -> list[tuple[int, str, Tensor, Tensor]]:
    """(picture, name, truth, predicted probability) of `watched_queries`."""
    index = names.index()
    asked = watched_queries(store)
    found = []
    with torch.inference_mode():
        for picture in sorted({n for n, _, _ in asked}):
            own = [entry for entry in asked if entry[0] == picture]
            rows = torch.tensor([index[name] for _, name, _ in own])
            cells = model.masks.read(*tensors(store, [picture]))
            query = model.query(names.states[0, rows], names.embeddings[0, rows])
            logits, _ = model.mask(cells, torch.zeros(len(own), dtype=torch.long), query)
            soft = logits.sigmoid().cpu()
            found += [(*entry, mask) for entry, mask in zip(own, soft, strict=True)]
    return found


def giou(found: Sequence[tuple[int, str, Tensor, Tensor]]) -> float:
    """Mean intersection over union of the predicted masks."""
    ious = []
    for _, _, truth, soft in found:
        real, said = truth > 0.5, soft > 0.5
        ious.append(float((real & said).sum()) / max(1.0, float((real | said).sum())))
    return float(np.mean(ious)) if ious else 0.0


def _draw(rows: Sequence[Row], rng: Rng) -> Row:
    """A name first, then one of its things: crowds do not rule."""
    names = sorted({row.names[0] for row in rows})
    name = names[int(rng.integers(len(names)))]
    own = [row for row in rows if row.names[0] == name]
    return own[int(rng.integers(len(own)))]


def _point(truth: Tensor, rng: Rng) -> Tensor:
    places = (truth > 0.5).nonzero()
    if not len(places):
        return torch.zeros(CELLS)
    y, x = places[int(rng.integers(len(places)))].tolist()
    return prompt_map(CELLS, (MASK[0], MASK[1]), (int(x), int(y)), None)
