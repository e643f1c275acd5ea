"""Deterministic doubles of a segmenting language model and a searcher: what they say is given."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from perception.scene.reader import GroundedRegion
from reasoning.generation.protocol import EntitySpan, Prompt
from reasoning.generation.tokens import (
    CONTROLS,
    END,
    END_INFORMATION,
    END_SEARCH,
    INFORMATION,
    SEARCH,
    ControlIds,
)
from stream.clock import VirtualClock
from stream.errors import QueryError
from stream.events import Evidence, Query, TokenStep

FIRST_CONTROL = 1000  # ordinary tokens lie below
WORD = 7  # the id of every ordinary token


@dataclass(frozen=True, slots=True)
class Words:
    """One ordinary token, whatever it spells."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Mention:
    """One ordinary token that names a region."""

    text: str
    region: GroundedRegion


ScriptPiece = str | Words | Mention  # a string that is a special token is one, else it is words


@dataclass(slots=True, eq=False)
class ScriptState:
    """One answer while it is made."""

    prompt: Prompt
    left: deque[ScriptPiece]
    written: int = 0
    spans: list[EntitySpan] = field(default_factory=list)
    may_search: list[bool] = field(default_factory=list)  # as each step was told
    informed: list[str] = field(default_factory=list)  # texts injected


class ScriptedLMM:
    """Says its turns in order, the last one again and again; obeys the search budget if told so."""

    name = "scripted"
    remote = False

    def __init__(
        self,
        *turns: Sequence[ScriptPiece],
        obedient: bool = True,
        subject: str = "",
        clock: VirtualClock | None = None,
        token_ns: int = 0,
    ) -> None:
        """Each step takes `token_ns` of `clock`, when given."""
        self.controls = ControlIds(FIRST_CONTROL)
        self.states: list[ScriptState] = []  # of every answer, for tests to look at
        self._turns = turns or ((),)
        self._obedient, self._subject = obedient, subject
        self._clock, self._token_ns = clock, token_ns

    def prefill(self, prompt: Prompt) -> ScriptState:
        """Take the next turn of the script."""
        turn = self._turns[min(len(self.states), len(self._turns) - 1)]
        self.states.append(ScriptState(prompt, deque(turn)))
        self._work()
        return self.states[-1]

    def step(self, state: ScriptState, may_search: bool) -> TokenStep:
        """The next piece, or the end."""
        self._work()
        state.may_search.append(may_search)
        while self._obedient and not may_search and state.left and state.left[0] == SEARCH:
            while state.left and state.left.popleft() != END_SEARCH:
                pass
        return self._write(state, state.left.popleft() if state.left else END, False)

    def inform(
        self, state: ScriptState, evidence: Sequence[Evidence], text: str
    ) -> list[TokenStep]:
        """One forced token a word."""
        state.informed.append(text)
        inner = text.removeprefix(INFORMATION).removesuffix(END_INFORMATION)
        words = [Words(f"{word} ") for word in inner.split()]
        pieces: list[ScriptPiece] = [INFORMATION, Words(" "), *words, END_INFORMATION]
        return [self._write(state, piece, True) for piece in pieces]

    def spans(self, state: ScriptState) -> Sequence[EntitySpan]:
        """The mentions so far."""
        return state.spans

    def subject(self, state: ScriptState) -> str:
        """As given."""
        return self._subject

    def _write(self, state: ScriptState, piece: ScriptPiece, forced: bool) -> TokenStep:
        text = piece if isinstance(piece, str) else piece.text
        if isinstance(piece, Mention):
            start = state.written + len(text) - len(text.lstrip())
            state.spans.append(EntitySpan(start, state.written + len(text), piece.region))
        state.written += len(text)
        special = isinstance(piece, str) and piece in CONTROLS
        return TokenStep(self.controls.id_of(text) if special else WORD, text, forced)

    def _work(self) -> None:
        if self._clock is not None:
            self._clock.advance_to(self._clock.now_ns() + self._token_ns)


class ScriptedSearcher:
    """Answers queries from a table; raises QueryError for `broken` ones."""

    def __init__(
        self,
        table: Mapping[str, Sequence[Evidence]] | None = None,
        broken: Sequence[str] = (),
        clock: VirtualClock | None = None,
        search_ns: int = 0,
    ) -> None:
        """`table` and `broken` go by the query's text; each search takes `search_ns` of `clock`."""
        self.queries: list[Query] = []
        self._table, self._broken = dict(table or {}), frozenset(broken)
        self._clock, self._search_ns = clock, search_ns

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` entries; none for a text that is not in the table."""
        self.queries.append(query)
        if self._clock is not None:
            self._clock.advance_to(self._clock.now_ns() + self._search_ns)
        if query.text in self._broken:
            raise QueryError(f"expected a query that can be run, got {query.text!r}")
        return list(self._table.get(query.text, ()))[: query.k]
