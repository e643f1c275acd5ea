"""Which token comes next: the model's own choice within the grammar and a few guards."""

from collections.abc import Sequence

import torch
from torch import Tensor

from reasoning.generation.grammar import Grammar
from reasoning.generation.settings import LogitsProcessorConfig
from reasoning.generation.tokens import CONTROLS, END, END_SEARCH, IMAGE, REGION, SEARCH, ControlIds


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
        allowed = {self._controls.id_of(control) for control in grammar.allowed()}
        scores = logits.float().clone()
        first = self._controls.first
        barred = torch.ones(len(CONTROLS), dtype=torch.bool)
        for token in allowed:
            barred[token - first] = False
        search, end = self._controls.id_of(SEARCH), self._controls.id_of(END)
        if grammar.place == "answer":
            config = self._config
            possible = config.text or config.image or (config.region and named)
            if (
                not may_search
                or not possible
                or float(logits.softmax(-1)[search]) < self._config.search_gate
            ):
                barred[search - first] = True
            else:
                return search
            if not written:
                barred[end - first] = True  # an answer is never empty
        if grammar.place == "payload":
            if len(grammar.payload) >= self._config.max_query:
                whole = "".join(grammar.payload).strip()
                region = named and self._config.region
                return self._controls.id_of(END_SEARCH if whole else REGION if region else IMAGE)
            barred[self._controls.id_of(REGION) - first] |= not (named and self._config.region)
            barred[self._controls.id_of(IMAGE) - first] |= not self._config.image
            if not self._config.text and not grammar.payload:
                scores[:first] = -torch.inf
            if not grammar.takes_text:
                return self._controls.id_of(END_SEARCH)
        scores[first : first + len(CONTROLS)][barred] = -torch.inf
        scores[first + len(CONTROLS) :] = -torch.inf
        scores[: self._config.reserved] = -torch.inf
        for token in self._repeats(written):
            scores[token] = -torch.inf
        return int(scores.argmax())

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
