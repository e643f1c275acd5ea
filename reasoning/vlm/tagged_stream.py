"""What models have in common that stream words with tags in them (grounding_formats.py).

Token ids mean nothing here, only special tokens have their own; each piece that is certain is one
token.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.evidence_text import cite_evidence
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import EntitySpan, Prompt, evidence_steps
from reasoning.generation.tokens import (
    END,
    END_INFORMATION,
    END_SEARCH,
    IMAGE,
    INFORMATION,
    MEMORY,
    REGION,
    SEARCH,
    ControlIds,
    neutralise,
    unbracket,
)
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.markup import NamedCodes, NamedPlace, ParsedPiece, PlainText
from stream.events import Evidence, Question, TokenStep

MAX_RECENT = 120  # characters in which the name of a place is looked for
_STOP = re.compile(r"[.,;:!?\n]")
WORD = 0  # the id of every ordinary token
FIRST_CONTROL = 1


class Grounder(Protocol):
    """Makes regions of the places and the words that a language model gives."""

    def ground(self, view: SceneView, place: Sequence[float]) -> GroundedRegion | None:
        """What is in a box (four numbers) or at a point (two), in thousandths of the frame; None
        when nothing is there."""

    def meant(self, view: SceneView, question: Question, words: str) -> GroundedRegion | None:
        """What is spoken of without a place: what the wearer points at, else what the words, or
        those of the question, name; None when nothing in view fits."""


@runtime_checkable
class MaskCodes(Protocol):
    """A grounder of a model that writes masks as codes (reasoning/vlm/mask_codes.py)."""

    def coded(self, view: SceneView, codes: Sequence[int]) -> GroundedRegion | None:
        """The region of a mask's codes; None for an empty mask, or codes that mean none."""

    def pointed(self, view: SceneView, question: Question) -> str:
        """The codes, spelled, of what the wearer points at; empty when that is nothing."""


@dataclass(slots=True, eq=False)
class TaggedState:
    """One answer while it is made."""

    prompt: Prompt
    parser: TagParser = field(default_factory=TagParser)
    queue: deque[ParsedPiece | str] = field(default_factory=deque)  # a str is a special token
    spans: list[EntitySpan] = field(default_factory=list)
    written: int = 0  # characters of the sequence
    recent: str = ""  # words since the last thing that was named, the last of them
    spaced: bool = False  # a space was said, and a place without words came behind it
    subject: str = ""
    cited: int = 0  # pieces of evidence that were given, which are numbered through an answer


StateT = TypeVar("StateT", bound=TaggedState)


class TaggedLMM(Generic[StateT]):
    """Most of a SegmentingLMM; a model of a kind says how words are got and calls answered."""

    controls = ControlIds(FIRST_CONTROL)
    grounder: Grounder | None = None  # None: the model makes its regions itself
    remote = False

    def step(self, state: StateT, may_search: bool) -> TokenStep:
        """The next piece of what the model streams."""
        while True:
            while state.queue:
                step = self._play(state, state.queue.popleft(), may_search)
                if step is not None:
                    return step
            if not self._read_on(state):
                return TokenStep(self.controls.id_of(END), END, forced=False)

    def inform(self, state: StateT, evidence: Sequence[Evidence], text: str) -> Sequence[TokenStep]:
        """Give the model what was found, each piece with its number and whose it is.

        Without evidence `text` says why: `<information> … </information>`, harmless already.
        """
        if evidence:
            cited = cite_evidence(evidence, state.cited + 1)
            text = f"{INFORMATION} {cited} {END_INFORMATION}"
            state.cited += len(evidence)
        self._answer_call(state, text)
        if evidence:
            state.subject = evidence[0].title
        steps = evidence_steps(self.controls, text, lambda inner: [(WORD, inner)])
        state.written += sum(len(step.text) for step in steps)
        return steps

    def spans(self, state: StateT) -> Sequence[EntitySpan]:
        """Things named whose mask is not empty."""
        return state.spans

    def subject(self, state: StateT) -> str:
        """The title found first by the last search."""
        return state.subject

    def _read_on(self, state: StateT) -> bool:
        """Let the model write on, into the queue; False at the end of the answer."""
        raise NotImplementedError

    def _answer_call(self, state: StateT, content: str) -> None:
        """Let the model read what a call brought."""
        raise NotImplementedError

    def _begin_call(self, state: StateT, call: Call, may_search: bool) -> None:
        """Take note of a call; what the model wrote behind it is forgotten, it was a guess."""
        raise NotImplementedError

    def pointed(self, prompt: Prompt) -> str:
        """What the wearer points at as a mask in words; empty for a model that reads none."""
        if not isinstance(self.grounder, MaskCodes):
            return ""
        return self.grounder.pointed(prompt.view, prompt.question)

    def _region(self, view: SceneView, piece: NamedPlace | NamedCodes) -> GroundedRegion | None:
        """What is in a place, or under a mask."""
        if isinstance(piece, NamedPlace):
            return self.grounder.ground(view, piece.place) if self.grounder else None
        if isinstance(self.grounder, MaskCodes):
            return self.grounder.coded(view, piece.codes)
        return None

    def _name(self, state: StateT, piece: NamedPlace | NamedCodes) -> TokenStep | None:
        """Words that name a thing in a place; those that were just said are not said again."""
        region = self._region(state.prompt.view, piece)
        step = None
        start, end = self._said_before(state, piece.text)
        if piece.text and start == end:
            start = state.written
            step = self._say(state, piece.text)
            end = state.written
        state.spaced = step is None and state.recent.endswith(" ")
        state.recent = ""
        if region is not None and end > start:
            state.spans.append(EntitySpan(start, end, region))
        return step

    def _said_before(self, state: StateT, name: str) -> tuple[int, int]:
        """Where a name already stands at the end of the words; without a name, where the words
        stand that it must be: those since the last stop, or the thing that was named last."""
        words = state.recent.rstrip()
        end = state.written - (len(state.recent) - len(words))
        if name:
            same = words.casefold().endswith(name.casefold())
            return (end - len(name), end) if same else (end, end)
        phrase = _STOP.split(words)[-1].lstrip()
        if not phrase and state.spans:
            return state.spans[-1].start, state.spans[-1].end
        return end - len(phrase), end

    def _say(self, state: StateT, text: str) -> TokenStep:
        """Words."""
        text = text.removeprefix(" ") if state.spaced else text
        state.spaced = False
        state.recent = (state.recent + text)[-MAX_RECENT:]
        return self._write(state, unbracket(text), WORD)

    def _play(self, state: StateT, piece: ParsedPiece | str, may_search: bool) -> TokenStep | None:
        match piece:
            case str():
                return self._write(state, piece, self.controls.id_of(piece))
            case PlainText(text):
                return self._say(state, text)
            case NamedPlace() | NamedCodes():
                return self._name(state, piece)
            case Call():
                state.queue.clear()
                self._begin_call(state, piece, may_search)
                return self._search(state, piece) if may_search else None

    def _search(self, state: StateT, call: Call) -> TokenStep:
        if call.kind == "region" and not state.spans:
            self._point_out(state)
        state.recent = ""
        payload = {"region": REGION, "image": IMAGE}.get(call.kind)
        if call.memory and state.prompt.remembers:
            state.queue.append(MEMORY)
        state.queue.append(payload or PlainText(f" {neutralise(call.payload)} "))
        state.queue.append(END_SEARCH)
        return self._write(state, SEARCH, self.controls.id_of(SEARCH))

    def _point_out(self, state: StateT) -> None:
        """A region is to be searched and none was named: the words before get one."""
        if self.grounder is None:
            return
        start, end = self._said_before(state, "")
        words = state.recent.rstrip()[start - end :] if end > start else ""
        region = self.grounder.meant(state.prompt.view, state.prompt.question, words)
        if region is not None:
            state.spans.append(EntitySpan(start, end, region))

    @staticmethod
    def _write(state: StateT, text: str, token: int) -> TokenStep:
        state.written += len(text)
        return TokenStep(token, text, forced=False)
