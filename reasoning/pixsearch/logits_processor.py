"""Which token comes next: the model's own choice within the grammar and a few guards."""

from collections.abc import Sequence

import torch
from torch import Tensor

from reasoning.generation.config import LogitsProcessorConfig
from reasoning.generation.grammar import Grammar
from reasoning.generation.tokens import (
    END,
    END_SEARCH,
    IMAGE,
    LEARNT,
    REGION,
    SEARCH,
    Control,
    ControlIds,
)


class LogitsProcessor:
    """Greedy choice; whatever the logits are, the sequence stays well formed and ends calls."""

    def __init__(self, controls: ControlIds, config: LogitsProcessorConfig) -> None:
        self._controls, self._config = controls, config

    def next_token(
        self,
        logits: Tensor,
        grammar: Grammar,
        written: Sequence[int],
        may_search: bool,
        named: bool = True,
    ) -> int:
        """[V + 7] logits -> a token id.

        `written` are the ids of the current stretch; no `<region>` unless one was `named`.
        """
        region = named and self._config.region
        if grammar.place == "answer" and may_search and self._searches(logits, region):
            return self._controls.id_of(SEARCH)
        if grammar.place == "payload":
            if len(grammar.payload) >= self._config.max_query:
                whole = "".join(grammar.payload).strip()
                return self._controls.id_of(END_SEARCH if whole else REGION if region else IMAGE)
            if not grammar.takes_text:
                return self._controls.id_of(END_SEARCH)
        scores, first = logits.float().clone(), self._controls.first
        if grammar.place == "payload" and not self._config.text and not grammar.payload:
            scores[:first] = -torch.inf
        allowed = self._allowed(grammar, written, region)
        for number, control in enumerate(LEARNT):
            if control not in allowed:
                scores[first + number] = -torch.inf
        scores[first + len(LEARNT) :] = -torch.inf
        scores[: self._config.reserved] = -torch.inf
        scores[self._repeats(written)] = -torch.inf
        return int(scores.argmax())

    def _searches(self, logits: Tensor, region: bool) -> bool:
        """Whether `<search>` is likely enough, and some kind of search possible."""
        possible = self._config.text or self._config.image or region
        search = logits.softmax(-1)[self._controls.id_of(SEARCH)]
        return possible and float(search) >= self._config.search_gate

    def _allowed(self, grammar: Grammar, written: Sequence[int], region: bool) -> set[Control]:
        """The special tokens that the model may choose itself."""
        allowed = set(grammar.allowed()) - {SEARCH}
        if not written:
            allowed.discard(END)  # an answer is never empty
        if not region:
            allowed.discard(REGION)
        if not self._config.image:
            allowed.discard(IMAGE)
        return allowed

    def _repeats(self, written: Sequence[int]) -> list[int]:
        """Tokens that would repeat a stretch of `repeat` tokens."""
        size = self._config.repeat
        if size == 0 or len(written) < size:
            return []
        tail = tuple(written[len(written) - size + 1 :])
        return [
            written[n + size - 1]
            for n in range(len(written) - size + 1)
            if tuple(written[n : n + size - 1]) == tail
        ]
