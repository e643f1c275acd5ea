"""Answers along drafts: what may be said is drafted, the trained model reads it and decides.

A language model of this size invents where it writes freely. Drafts are held to what perception
and evidence support (reasoning/rules/model.py); where several are possible, which search to make,
which sentence tells, whether to refuse, each is weighed by how likely the model finds its first
words after the view, the question, what was said and the evidence. Where only one is possible the
model is not asked, and the answer costs no pass of it.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reasoning.generation.protocol import EntitySpan, Prompt
from reasoning.generation.tokens import CONTROLS, END_INFORMATION, INFORMATION
from reasoning.pixsearch.generate import PixSearchLMM
from reasoning.pixsearch.processing import MAX_EVIDENCE
from reasoning.rules.model import ComposedLMM, ComposedState
from stream.events import Evidence, TokenStep

DEPTH = 6  # tokens of a draft that are weighed
_PIECES = sorted(CONTROLS, key=len, reverse=True)


@dataclass(slots=True, eq=False)
class Reading:
    """What the model has read of one answer."""

    cache: Any
    logits: Tensor  # [V + 7] of the next token


@dataclass(slots=True, eq=False)
class DraftedState:
    """One answer while it is made; owned by the decode loop."""

    prompt: Prompt
    drafts: ComposedState
    reading: Reading | None = None  # begun when the model is first asked
    unread: list[int] = field(default_factory=list)  # tokens written since
    began: bool = False  # something is written
    weighed: int = 0  # offers that the model decided on


class DraftedLMM:
    """A SegmentingLMM: the trained model, held to drafts."""

    name = "pixsearch-smollm2-135m"

    def __init__(self, drafter: ComposedLMM, reader: PixSearchLMM) -> None:
        self._drafter, self._reader = drafter, reader
        self.controls = reader.controls

    @property
    def reader(self) -> PixSearchLMM:
        """The trained model itself, for those who measure it."""
        return self._reader

    def prefill(self, prompt: Prompt) -> DraftedState:
        """Understand the question; the model reads it when it is asked for the first time."""
        state = DraftedState(prompt, self._drafter.prefill(prompt))

        def judge(options: Sequence[Sequence[str]]) -> Sequence[float]:
            state.weighed += 1
            return self._weigh(state, options)

        state.drafts.judge = judge
        return state

    def step(self, state: DraftedState, may_search: bool) -> TokenStep:
        """The next token of the draft that was taken."""
        step = self._drafter.step(state.drafts, may_search)
        self._note(state, step.text)
        return step

    def inform(
        self, state: DraftedState, evidence: Sequence[Evidence], text: str
    ) -> Sequence[TokenStep]:
        """Take the evidence; the model reads its first tokens, as in training."""
        inner = text.removeprefix(INFORMATION).removesuffix(END_INFORMATION)
        state.unread.append(self.controls.id_of(INFORMATION))
        state.unread += self._reader.words.encode(inner)[:MAX_EVIDENCE]
        state.unread.append(self.controls.id_of(END_INFORMATION))
        return self._drafter.inform(state.drafts, evidence, text)

    def spans(self, state: DraftedState) -> Sequence[EntitySpan]:
        """Mentions that are written out."""
        return self._drafter.spans(state.drafts)

    def subject(self, state: DraftedState) -> str:
        """The entity talked about."""
        return self._drafter.subject(state.drafts)

    def _note(self, state: DraftedState, text: str) -> None:
        """Remember a token for the model's reading; answers begin with a space, as in training."""
        if text in CONTROLS:
            state.unread.append(self.controls.id_of(text))
        else:
            lead = "" if state.began or text.startswith(" ") else " "
            state.unread += self._reader.words.encode(f"{lead}{text}")
        state.began = True

    def _weigh(self, state: DraftedState, options: Sequence[Sequence[str]]) -> list[float]:
        """Log-probability of each option among all, by the likeliest of its forms."""
        reading = self._read(state)
        forms = [(n, self._ids(form, state.began)) for n, of in enumerate(options) for form in of]
        scores = prefer(self._reader, reading, [ids for _, ids in forms])
        best = torch.full((len(options),), -torch.inf)
        for (number, _), score in zip(forms, scores, strict=True):
            best[number] = max(float(best[number]), score)
        return [float(value) for value in best.log_softmax(0)]

    def _read(self, state: DraftedState) -> Reading:
        """Bring the model up to what is written."""
        if state.reading is None:
            focus, question = state.drafts.focus, state.prompt.question
            aimed = question.point is not None or question.box is not None
            cache, _, logits = self._reader.read_question(state.prompt, focus if aimed else None)
            state.reading = Reading(cache, logits)
        if state.unread:
            model = self._reader.network
            with torch.inference_mode():
                rows = model.embed(torch.tensor(state.unread))
                states = model.read(rows, state.reading.cache)
                state.reading.logits = model.logits(states[-1])
            state.unread.clear()
        return state.reading

    def _ids(self, form: str, began: bool) -> list[int]:
        """A form's first tokens; special tokens written out in it become theirs."""
        ids: list[int] = []
        rest = form if began or form.startswith((" ", "<")) else f" {form}"
        while rest:
            places = [(rest.find(c), c) for c in _PIECES if c in rest]
            place, control = min(places, default=(len(rest), ""))
            ids += self._reader.words.encode(rest[:place])
            if control:
                ids.append(self.controls.id_of(control))
            rest = rest[place + len(control) :]
        return ids[:DEPTH]


def prefer(reader: PixSearchLMM, reading: Reading, forms: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability of each continuation's tokens after what was read, in one batch.

    The reading stays as it was.
    """
    model = reader.network
    ids = torch.zeros(len(forms), DEPTH, dtype=torch.long)
    for row, form in zip(ids, forms, strict=True):
        row[: len(form)] = torch.tensor(list(form))
    with torch.inference_mode():
        first = reading.logits.log_softmax(-1).expand(len(forms), 1, -1)
        cache = copy.deepcopy(reading.cache)
        cache.batch_repeat_interleave(len(forms))
        states = model.states(model.embed(ids[:, :-1]), cache=cache)
        steps = torch.cat([first, model.logits(states).log_softmax(-1)], 1)
        chosen = steps.gather(2, ids[..., None])[..., 0]
        return [float(row[: len(form)].sum()) for row, form in zip(chosen, forms, strict=True)]
