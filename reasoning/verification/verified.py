"""A model whose claims are checked before they are said: `SegmentingLMM` around another one.

Once evidence came, its words are held back to the end of their sentence. A sentence that neither
evidence nor sight bears out is searched for, where a search is left; if that does not bear it out
either, it is replaced by words that say so. What only an unvetted page tells is said as its word.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from perception.scene.reader import SceneView
from reasoning.generation.protocol import (
    EntitySpan,
    KeepsWriting,
    Prompt,
    ReadsAhead,
    SegmentingLMM,
    evidence_steps,
)
from reasoning.generation.tokens import END, END_SEARCH, SEARCH, neutralise
from reasoning.verification.claims import ClaimChecker
from retrieval.sources.sentences import sentences
from stream.events import Evidence, TokenStep

UNCONFIRMED = "I could not confirm what I would have said next."
ONE_PAGE = "One page says: "
FURTHER = "Then it goes on like this."  # what may follow a sentence, to see whether it ends


@dataclass(slots=True, eq=False)
class VerifiedState:
    """One answer while it is made."""

    inner: Any
    known: str  # what was asked, is in view and was said before
    ready: deque[TokenStep] = field(default_factory=deque)
    held: list[TokenStep] = field(default_factory=list)  # of the sentence that is being written
    behind: list[TokenStep] = field(default_factory=list)  # of the next one, while held is searched
    told: list[Evidence] = field(default_factory=list)
    calling: bool = False  # the model is inside a search of its own
    pending: bool = False  # what is held was searched for
    doubted: bool = False  # something was replaced
    ended: TokenStep | None = None
    read: int = 0  # characters of the model's own sequence that were let through or replaced
    written: int = 0  # characters of the sequence as it is given out
    kept: list[tuple[int, int, int]] = field(default_factory=list)  # (from, to, place given out)


class VerifiedLMM:
    """See the module; `inner` is asked as the decode loop would ask it."""

    def __init__(self, inner: SegmentingLMM[Any], checker: ClaimChecker) -> None:
        self._inner, self._checker = inner, checker
        self.name, self.controls, self.remote = inner.name, inner.controls, inner.remote

    def prefill(self, prompt: Prompt) -> VerifiedState:
        """See SegmentingLMM."""
        names = [name.label for thing in prompt.view.things for name in thing.names[:1]]
        counts = [str(number) for number in range(1, len(prompt.view.things) + 1)]
        said = [turn.answer for turn in prompt.history]
        known = " ".join([prompt.question.text, *names, *counts, *said])
        return VerifiedState(self._inner.prefill(prompt), known)

    def step(self, state: VerifiedState, may_search: bool) -> TokenStep:
        """The next token that may be said."""
        while not state.ready:
            if state.ended is not None:
                return state.ended
            self._read_on(state, may_search)
        return state.ready.popleft()

    def inform(
        self, state: VerifiedState, evidence: Sequence[Evidence], text: str
    ) -> Sequence[TokenStep]:
        """Evidence of the model's own search goes to the model, that of a check does not."""
        state.told += evidence
        if not state.pending:
            steps = self._inner.inform(state.inner, evidence, text)
            self._let(state, steps)
            return steps
        word = state.held[0].token_id
        steps = evidence_steps(self.controls, text, lambda inner: [(word, inner)])
        state.written += sum(len(step.text) for step in steps)
        state.pending = False
        self._settle(state)
        return steps

    def spans(self, state: VerifiedState) -> Sequence[EntitySpan]:
        """Those of what was given out, where it stands now."""
        found = []
        for span in self._inner.spans(state.inner):
            for first, last, place in state.kept:
                if first <= span.start and span.end <= last:
                    moved = place - first
                    found.append(EntitySpan(span.start + moved, span.end + moved, span.region))
        return found

    def subject(self, state: VerifiedState) -> str:
        """See SegmentingLMM."""
        return self._inner.subject(state.inner)

    def written(self, state: VerifiedState) -> str:
        """See KeepsWriting; empty where the model wrote what was not said."""
        if state.doubted or not isinstance(self._inner, KeepsWriting):
            return ""
        return self._inner.written(state.inner)

    def _read_on(self, state: VerifiedState, may_search: bool) -> None:
        """Take one token of the model."""
        step = self._inner.step(state.inner, may_search)
        control = self.controls.control(step.token_id)
        if control is None and state.told and not state.calling:
            if _ended("".join(one.text for one in state.held), step.text):
                state.behind = [step]
                self._check(state, may_search)
            else:
                state.held.append(step)
            return
        if state.held:
            self._check(state, may_search and control == END)
        if control == END:
            state.ended = step
            return
        if control is not None:
            state.calling = control != END_SEARCH
        self._let(state, [step])
        state.ready.append(step)

    def _check(self, state: VerifiedState, may_search: bool) -> None:
        """Say what is held, or search for it."""
        if not may_search or self._holds(state, state.told):
            self._settle(state)
            return
        words = neutralise("".join(step.text for step in state.held))
        word = state.held[0].token_id
        for token, text in (
            (self.controls.id_of(SEARCH), SEARCH),
            (word, f" {words} "),
            (self.controls.id_of(END_SEARCH), END_SEARCH),
        ):
            state.ready.append(TokenStep(token, text, forced=False))
            state.written += len(text)
        state.pending = True

    def _settle(self, state: VerifiedState) -> None:
        """What is held is said, said as one page's word, or replaced."""
        said = self._holds(state, state.told)
        asserted = self._holds(state, [one for one in state.told if not one.alone])
        held, state.held, state.behind = state.held, state.behind, []
        text = "".join(step.text for step in held)
        lead = text[: len(text) - len(text.lstrip())]
        if said and asserted:
            self._let(state, held)
            state.ready.extend(held)
            return
        words = f"{lead}{ONE_PAGE}" if said else f"{lead}{UNCONFIRMED}"
        state.ready.append(TokenStep(held[0].token_id, words, forced=False))
        state.written += len(words)
        if said:
            self._let(state, held)
            state.ready.extend(held)
        else:
            state.read += len(text)
            state.doubted = True

    def _holds(self, state: VerifiedState, told: Sequence[Evidence]) -> bool:
        text = "".join(step.text for step in state.held)
        return all(self._checker.holds(one, told, state.known) for one in sentences(text))

    @staticmethod
    def _let(state: VerifiedState, steps: Sequence[TokenStep]) -> None:
        """Take note that tokens of the model are given out as they are."""
        length = sum(len(step.text) for step in steps)
        first, last, place = state.kept.pop() if state.kept else (0, 0, 0)
        if (last, place + last - first) == (state.read, state.written):
            state.kept.append((first, last + length, place))
        else:
            state.kept += [(first, last, place), (state.read, state.read + length, state.written)]
        state.read += length
        state.written += length


def _ended(held: str, following: str) -> bool:
    """Whether a sentence ends before the next token: "3." and "5" is a number, "Dr." a title."""
    if not (held.rstrip() != held or following[:1].isspace()):
        return False
    return len(sentences(f"{held.rstrip()} {FURTHER}")) > len(sentences(held))


class VerifiedAheadLMM(VerifiedLMM):
    """The same around a model that reads views ahead."""

    def read_view(self, view: SceneView, earlier: Sequence[SceneView] = ()) -> object:
        """See ReadsAhead."""
        assert isinstance(self._inner, ReadsAhead)
        return self._inner.read_view(view, earlier)


def verified(inner: SegmentingLMM[Any], checker: ClaimChecker) -> VerifiedLMM:
    """A model with its claims checked."""
    kind = VerifiedAheadLMM if isinstance(inner, ReadsAhead) else VerifiedLMM
    return kind(inner, checker)
