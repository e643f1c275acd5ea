"""PixSearch's loss on a batch of sequences (eq. 6) but for masks: words, spans, frozen teacher."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reasoning.pixsearch.connector import VisualTokens
from reasoning.pixsearch.lora import without_lora
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.processing import EncodedTurn
from reasoning.pixsearch.spans import IGNORED

VARIANCE = 1.0  # sigma squared of eq. 8


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Table 9's weights."""

    words: float = 1.0
    spans: float = 2.0
    teacher: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class TurnExample:
    """One turn with what the model is shown."""

    visual: VisualTokens
    turn: EncodedTurn


@dataclass(frozen=True, slots=True, eq=False)
class PaddedBatch:
    """Padded sequences, prefix first."""

    embeddings: Tensor  # [B, L, D]
    known: Tensor  # [B, L] bool
    starts: tuple[int, ...]  # of each sequence's turn, after its prefix


def batch_of(model: PixSearchModel, examples: Sequence[TurnExample]) -> PaddedBatch:
    """Embed and pad on the right."""
    rows = []
    starts = []
    for example in examples:
        prefix = model.prefix(example.visual)
        rows.append(torch.cat([prefix, model.embed(torch.tensor(example.turn.ids))]))
        starts.append(len(prefix))
    longest = max(len(row) for row in rows)
    known = torch.zeros(len(rows), longest, dtype=torch.bool)
    for number, row in enumerate(rows):
        known[number, : len(row)] = True
    padded = torch.stack([F.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
    return PaddedBatch(padded, known, tuple(starts))


def losses(
    model: PixSearchModel, examples: Sequence[TurnExample], weights: LossWeights
) -> dict[str, Tensor]:
    """Each term unweighted, and "loss", their weighted sum."""
    batch = batch_of(model, examples)
    states = model.states(batch.embeddings, batch.known)
    terms = {
        "words": word_loss(model, states, batch, examples),
        "spans": span_loss(model, states, batch, examples),
    }
    if weights.teacher:
        terms["teacher"] = teacher_loss(model, states, batch, examples)
    terms["loss"] = torch.stack([getattr(weights, k) * v for k, v in terms.items()]).sum()
    return terms


def word_loss(
    model: PixSearchModel, states: Tensor, batch: PaddedBatch, examples: Sequence[TurnExample]
) -> Tensor:
    """Eq. 10: mean cross-entropy of the counted tokens, each from the state before it."""
    before, targets = [], []
    for number, (start, example) in enumerate(zip(batch.starts, examples, strict=True)):
        for place, (token, learn) in enumerate(
            zip(example.turn.ids, example.turn.learnt, strict=True)
        ):
            if learn:
                before.append(states[number, start + place - 1])
                targets.append(token)
    logits = model.logits(torch.stack(before))
    return F.cross_entropy(logits, torch.tensor(targets))


def span_loss(
    model: PixSearchModel, states: Tensor, batch: PaddedBatch, examples: Sequence[TurnExample]
) -> Tensor:
    """Cross-entropy of B/I/O; outside is far more frequent and counts less."""
    logits = model.tag(states, batch.embeddings)
    rows, labels = [], []
    for number, (start, example) in enumerate(zip(batch.starts, examples, strict=True)):
        rows.append(logits[number, start : start + len(example.turn.labels)])
        labels += list(example.turn.labels)
    weight = torch.tensor([0.5, 1.0, 1.0])
    return F.cross_entropy(
        torch.cat(rows), torch.tensor(labels), weight=weight, ignore_index=IGNORED
    )


def teacher_loss(
    model: PixSearchModel, states: Tensor, batch: PaddedBatch, examples: Sequence[TurnExample]
) -> Tensor:
    """Eq. 8: squared distance of the spans' states to those without adapters, over 2 sigma^2."""
    chosen = torch.zeros(states.shape[:2], dtype=torch.bool)
    for number, (start, example) in enumerate(zip(batch.starts, examples, strict=True)):
        for first, last in example.turn.spans:
            chosen[number, start + first : start + last] = True
    if not chosen.any():
        return states.sum() * 0
    with torch.no_grad(), without_lora(model.lm):
        frozen = model.states(batch.embeddings.detach(), batch.known)
    return ((states[chosen] - frozen[chosen]) ** 2).mean() / (2 * VARIANCE)
