"""The grammar of search-interleaved answers: which special token may come when, and a parser.

    answer  = (text | call)* END
    call    = <search> payload </search> <information> text </information>
    payload = [<memory>] (<region> | <image> | text)

`Grammar` follows a sequence token by token; whatever a model emits, what it lets through is well
formed, so no call stays open and none is nested.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, cast

from reasoning.generation.tokens import (
    CONTROLS,
    END,
    END_INFORMATION,
    END_SEARCH,
    IMAGE,
    INFORMATION,
    MEMORY,
    REGION,
    SEARCH,
    Control,
)
from stream.errors import GrammarError
from stream.events import QueryKind

Place = Literal["answer", "payload", "called", "information", "ended"]
SegmentKind = Literal["text", "payload", "information"]

_CONTROL = re.compile("|".join(re.escape(control) for control in CONTROLS))


@dataclass(frozen=True, slots=True)
class Call:
    """A finished search call."""

    kind: QueryKind
    payload: str  # stripped; the query's words when kind is text
    memory: bool = False  # of what the wearer has seen


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a sequence; offsets exclude the special tokens around it."""

    kind: SegmentKind
    start: int
    end: int


@dataclass(slots=True)
class Grammar:
    """Follows one sequence; `allowed` says what may come next, `push` takes it."""

    place: Place = "answer"
    payload: list[str] = field(default_factory=list)
    memory: bool = False  # whether one is open, that may be searched

    def allowed(self) -> frozenset[Control]:
        """Special tokens that may come now; ordinary text is allowed where `takes_text` says."""
        match self.place:
            case "answer":
                return frozenset((SEARCH, END))
            case "payload":
                whole = "".join(self.payload).strip()
                if whole and whole != MEMORY:
                    return frozenset((END_SEARCH,))
                first = self.memory and not whole
                return frozenset((REGION, IMAGE, MEMORY) if first else (REGION, IMAGE))
            case "called":
                return frozenset((INFORMATION,))
            case "information":
                return frozenset((END_INFORMATION,))
            case _:
                return frozenset()

    @property
    def takes_text(self) -> bool:
        """Whether ordinary text may come now."""
        if self.place == "payload":
            return not {REGION, IMAGE} & set(self.payload)
        return self.place in ("answer", "information")

    def push(self, text: str, control: Control | None) -> Call | None:
        """Take one token; returns the call it completes. Raises GrammarError when it may not come.

        Whitespace around a payload is taken anywhere in the payload.
        """
        if control is None:
            if not (self.takes_text or (self.place == "payload" and not text.strip())):
                raise GrammarError(f"expected {_names(self.allowed())}, got the text {text!r}")
            if self.place == "payload":
                self.payload.append(text)
            return None
        if control not in self.allowed():
            options = _names(self.allowed()) + (" or text" if self.takes_text else "")
            raise GrammarError(f"expected {options}, got {control}")
        return self._control(control)

    def _control(self, control: Control) -> Call | None:
        match control:
            case "<search>":
                self.place, self.payload = "payload", []
            case "<region>" | "<image>" | "<memory>":
                self.payload.append(control)
            case "</search>":
                self.place = "called"
                return read_payload("".join(self.payload))
            case "<information>":
                self.place = "information"
            case "</information>":
                self.place = "answer"
            case "<end>":
                self.place = "ended"
        return None


def read_payload(payload: str) -> Call:
    """`<region>`, `<image>` or words -> Call; raises GrammarError for an empty or mixed payload.

    Each may have `<memory>` before it.
    """
    whole = payload.strip()
    memory = whole.startswith(MEMORY)
    words = whole.removeprefix(MEMORY).strip()
    if words == REGION:
        return Call("region", words, memory)
    if words == IMAGE:
        return Call("image", words, memory)
    if not words or _CONTROL.search(words):
        raise GrammarError(f"expected {REGION}, {IMAGE} or words as payload, got {payload!r}")
    return Call("text", words, memory)


def parse(sequence: str) -> tuple[Segment, ...]:
    """Split a finished sequence into segments; raises GrammarError where it is not well formed.

    Segments are in order and hold every character that is no special token.
    """
    grammar, start = Grammar(memory=True), 0
    segments: list[Segment] = []
    for match in _CONTROL.finditer(sequence):
        control = cast(Control, match.group())
        if control == MEMORY and sequence[start : match.start()].strip():
            raise GrammarError(f"expected {MEMORY} before a payload, got it behind words")
        if control in (REGION, IMAGE, MEMORY):
            grammar.push(control, control)
            continue
        _take_text(grammar, sequence[start : match.start()])
        _close(segments, grammar.place, start, match.start())
        grammar.push(control, control)
        start = match.end()
    _take_text(grammar, sequence[start:])
    if grammar.place not in ("answer", "ended"):
        raise GrammarError(f"expected a closed sequence, got one that ends in {grammar.place}")
    _close(segments, "answer", start, len(sequence))
    return tuple(segments)


def visible(sequence: str) -> tuple[str, list[int]]:
    """What the wearer hears, and for each sequence offset its offset in that text.

    Offsets inside calls and evidence map to where the call stands.
    """
    kept: list[str] = []
    offsets = [0] * (len(sequence) + 1)
    length = position = 0
    for segment in parse(sequence):
        if segment.kind != "text":
            continue
        offsets[position : segment.start] = [length] * (segment.start - position)
        for offset in range(segment.start, segment.end):
            offsets[offset] = length + offset - segment.start
        kept.append(sequence[segment.start : segment.end])
        length, position = length + segment.end - segment.start, segment.end
    offsets[position:] = [length] * (len(sequence) + 1 - position)
    return "".join(kept), offsets


def _take_text(grammar: Grammar, text: str) -> None:
    if not text or (grammar.place == "called" and not text.strip()):
        return
    if grammar.place == "payload":
        # The payload's special token was pushed when it was met; only words are left to take.
        for pushed in (REGION, IMAGE, MEMORY):
            text = text.replace(pushed, "")
    if text:
        grammar.push(text, None)


def _close(segments: list[Segment], place: Place, start: int, end: int) -> None:
    kinds: dict[Place, SegmentKind] = {
        "answer": "text",
        "payload": "payload",
        "information": "information",
    }
    if place in kinds and end > start:
        segments.append(Segment(kinds[place], start, end))


def _names(controls: frozenset[Control]) -> str:
    return " or ".join(sorted(controls)) or "nothing"
