"""Training the upper half of the language model on states of the lower one that are read once.

Below the first adapted layer nothing learns where the connector and the special tokens' embeddings
are kept as they are: what those layers make of a turn is the same at every step. Kept, it saves a
third of a step, and the backward pass ends there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from foveal.training.pixsearch.objective import (
    VARIANCE,
    LossWeights,
    PaddedBatch,
    TurnExample,
    batch_of,
    span_loss,
    word_loss,
)
from perception.torch_compat import some_layers
from reasoning.pixsearch.modeling import PixSearchModel

UPPER = ("lm", "control_out", "tagger")  # parts that learn so


@dataclass(frozen=True, slots=True, eq=False)
class LowerStates:
    """A turn as the lower half leaves it."""

    example: TurnExample
    embeddings: Tensor  # [L, D] half
    states: Tensor  # [L, D] in the language model's type
    start: int  # of the turn, after its visual prefix
    teacher: Tensor  # [n, D] half: last states of the spans' tokens, as the training begins


class SplitModel:
    """The two halves of a model's language side."""

    def __init__(self, model: PixSearchModel) -> None:
        self._model, network = model, model.lm.model
        first = model.config.first_layer
        self._lower = some_layers(network, 0, first)
        self._upper = some_layers(network, first, len(network.layers))

    def read(self, example: TurnExample) -> LowerStates:
        """Once for each turn, before the first step."""
        model = self._model
        with torch.no_grad():
            batch = batch_of(model, [example])
            rows = batch.embeddings.to(model.dtype)
            lower = self._lower(inputs_embeds=rows, use_cache=False).last_hidden_state
            spans = _places(example, batch.starts[0])
            teacher = torch.zeros(0, rows.shape[-1])
            if spans:
                teacher = self.upper(lower)[0, spans]
        rows, start = batch.embeddings[0].half(), batch.starts[0]
        return LowerStates(example, rows, lower[0], start, teacher.half())

    def upper(self, lower: Tensor, known: Tensor | None = None) -> Tensor:
        """[B, L, D] states of the lower half -> last-layer states float32."""
        out = self._upper(inputs_embeds=lower, attention_mask=known, use_cache=False)
        result: Tensor = out.last_hidden_state.float()
        return result

    def losses(self, turns: Sequence[LowerStates], weights: LossWeights) -> dict[str, Tensor]:
        """Words, spans, and the distance of the spans' states to those the training began with."""
        longest = max(len(turn.states) for turn in turns)
        known = torch.zeros(len(turns), longest, dtype=torch.bool)
        for number, turn in enumerate(turns):
            known[number, : len(turn.states)] = True
        lower = torch.stack([_pad(turn.states, longest) for turn in turns])
        rows = torch.stack([_pad(turn.embeddings, longest) for turn in turns]).float()
        batch = PaddedBatch(rows, known, tuple(turn.start for turn in turns))
        examples = [turn.example for turn in turns]
        # Flash attention's backward pass takes a fifth of a step on a processor.
        with sdpa_kernel(SDPBackend.MATH):
            states = self.upper(lower, known)
        terms = {
            "words": word_loss(self._model, states, batch, examples),
            "spans": span_loss(self._model, states, batch, examples),
        }
        if weights.teacher:
            terms["teacher"] = _teacher(states, turns)
        terms["loss"] = torch.stack([getattr(weights, k) * v for k, v in terms.items()]).sum()
        return terms


def _teacher(states: Tensor, turns: Sequence[LowerStates]) -> Tensor:
    """Eq. 8 against the model as the training began."""
    parts = [
        states[number, _places(turn.example, turn.start)] - turn.teacher.float()
        for number, turn in enumerate(turns)
        if len(turn.teacher)
    ]
    if not parts:
        return states.sum() * 0
    return (torch.cat(parts) ** 2).mean() / (2 * VARIANCE)


def _places(example: TurnExample, start: int) -> list[int]:
    """Tokens of the turn's spans, in a sequence with its turn."""
    return [start + n for first, last in example.turn.spans for n in range(first, last)]


def _pad(rows: Tensor, length: int) -> Tensor:
    return F.pad(rows, (0, 0, 0, length - len(rows)))
