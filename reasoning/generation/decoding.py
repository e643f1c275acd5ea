"""The decode loop: token by token, with searches run where the model calls for them.

PixSearch (arXiv 2601.19060), Algorithm 1, with what it leaves open decided here: the loop never
lets a call stay open, refuses a repeated query, keeps to a search budget and a token limit, and
gives injected evidence back to the model on top of its cache.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from reasoning.generation.config import DecodeConfig
from reasoning.generation.evidence_text import format_evidence
from reasoning.generation.grammar import Call, Grammar, visible
from reasoning.generation.protocol import (
    EntitySpan,
    KeepsWriting,
    Prompt,
    SegmentingLMM,
    State,
)
from reasoning.generation.tokens import (
    END,
    END_INFORMATION,
    INFORMATION,
    SEARCH,
    neutralise,
    unbracket,
)
from retrieval.search import Searcher
from stream.clock import Clock, MonotonicClock
from stream.errors import BackendError, QueryError
from stream.events import EventKind, Evidence, Query, QuerySource, SearchRecord, TokenStep
from stream.geometry import encode_mask

Emit = Callable[[EventKind, Mapping[str, Any]], None]  # event kind, JSON data


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A finished sequence."""

    text: str  # what the wearer hears
    sequence: str
    spans: tuple[EntitySpan, ...]  # offsets into `text`
    searches: tuple[SearchRecord, ...]
    tokens: int  # of the model's own
    subject: str
    timings_ns: dict[str, int]
    written: str = ""  # the model's own text, with its marks
    cut: str = ""  # why it is but a part of the answer; empty for a whole one


@dataclass(slots=True)
class _Run(Generic[State]):
    """One sequence while it is made."""

    prompt: Prompt
    state: State
    emit: Emit
    began_ns: int
    grammar: Grammar
    pieces: list[str] = field(default_factory=list)
    searches: list[SearchRecord] = field(default_factory=list)
    tokens: int = 0
    cut: str = ""
    timings_ns: dict[str, int] = field(default_factory=dict)


class SearchDecoder:
    """Runs Algorithm 1 over any segmenting language model and searcher."""

    def __init__(
        self,
        searcher: Searcher,
        config: DecodeConfig | None = None,
        clock: Clock | None = None,
        remembers: bool = False,
    ) -> None:
        """`clock` measures the timings; real time unless given.

        `remembers`: the searcher also knows what the wearer has seen, and `<memory>` may come.
        """
        self._searcher, self.remembers = searcher, remembers
        self.config = config or DecodeConfig()
        self._clock = clock or MonotonicClock()

    def decode(self, lmm: SegmentingLMM[State], prompt: Prompt, emit: Emit) -> Decoded:
        """Answer a prompt; tokens, searches and evidence are emitted as they are made.

        Raises Cancelled at the next token once `prompt.cancel` is cancelled.
        """
        prompt.cancel.check()
        try:
            return self._decode(lmm, prompt, emit)
        except Exception:
            prompt.cancel.check()  # a read that was broken off on purpose has not failed
            raise

    def _decode(self, lmm: SegmentingLMM[State], prompt: Prompt, emit: Emit) -> Decoded:
        began = self._clock.now_ns()
        grammar = Grammar(memory=self.remembers)
        run = _Run(prompt, lmm.prefill(prompt), emit, began, grammar)
        run.timings_ns["prefill"] = self._clock.now_ns() - began
        try:
            self._write(run, lmm)
        except BackendError as error:
            prompt.cancel.check()
            if not run.pieces:
                raise
            run.cut = str(error)  # what was said stands, as a part
        self._close(run)
        return self._finish(run, lmm)

    def _write(self, run: _Run[State], lmm: SegmentingLMM[State]) -> None:
        """Token by token to the answer's end or the limit of tokens."""
        while run.grammar.place != "ended" and run.tokens < self.config.max_tokens:
            run.prompt.cancel.check()
            may_search = len(run.searches) < self.config.max_searches
            step = lmm.step(run.state, may_search)
            run.tokens += 1
            call = self._take(run, lmm, step)
            if call is not None:
                self._search(run, lmm, call)

    def _take(self, run: _Run[State], lmm: SegmentingLMM[State], step: TokenStep) -> Call | None:
        """Follow one token; raises GrammarError when the model breaks the grammar."""
        control = lmm.controls.control(step.token_id)
        # Only the id makes a special token: one spelled out in words must not read like one.
        text = control or unbracket(step.text)
        call = run.grammar.push(text, control)
        if control == END:
            return None
        run.timings_ns.setdefault("first_token", self._clock.now_ns() - run.began_ns)
        run.pieces.append(text)
        spoken = control is None and run.grammar.place == "answer"
        data = {"id": step.token_id, "text": text, "forced": step.forced, "spoken": spoken}
        run.emit("token", data)
        return call

    def _search(self, run: _Run[State], lmm: SegmentingLMM[State], call: Call) -> None:
        began = self._clock.now_ns()
        query, refusal = self._query(run, lmm, call)
        evidence: Sequence[Evidence] = ()
        if query is not None:
            try:
                evidence = self._searcher.search(query)
            except QueryError as error:
                refusal = str(error)
        took = self._clock.now_ns() - began
        run.timings_ns["search"] = run.timings_ns.get("search", 0) + took
        run.searches.append(SearchRecord(call.kind, call.payload, tuple(evidence)))
        run.emit("search", {"kind": call.kind, "query": call.payload, "refused": refusal})
        run.emit("evidence", {"entries": [_entry(item) for item in evidence]})
        text = format_evidence(evidence) or neutralise(f"nothing found{_because(refusal)}")
        for step in lmm.inform(run.state, evidence, f"{INFORMATION} {text} {END_INFORMATION}"):
            self._take(run, lmm, step)

    def _query(
        self, run: _Run[State], lmm: SegmentingLMM[State], call: Call
    ) -> tuple[Query | None, str | None]:
        """The query of a call, or why there is none."""
        if len(run.searches) >= self.config.max_searches:
            return None, f"all {self.config.max_searches} searches of an answer are spent"
        payload, image = call.payload, run.prompt.view.frame.image
        source: QuerySource = "memory" if call.memory else "auto"
        asked = neutralise(run.prompt.question.text)[: self.config.max_query_chars]
        if call.kind == "text":
            if any(s.kind == "text" and _same(s.query, payload) for s in run.searches):
                return None, "this was asked before"
            words = neutralise(payload)[: self.config.max_query_chars]
            if not words:
                return None, "there are no words in it"
            return Query("text", words, self.config.k, source=source), None
        if call.kind == "image":
            if any(s.kind == "image" for s in run.searches):
                return None, "this picture was searched before"
            query = Query("image", payload, self.config.k, image, about=asked, source=source)
            return query, None
        spans = lmm.spans(run.state)
        if not spans:
            return None, "no region was named before the call"
        mask = encode_mask(spans[-1].region.mask)
        return Query("region", payload, self.config.k, image, mask, asked, source), None

    def _close(self, run: _Run[State]) -> None:
        """Bring a sequence that met its limit or broke off to an end: an open call is dropped."""
        if run.grammar.place == "ended":
            return
        place, run.grammar.place = run.grammar.place, "ended"
        if place in ("payload", "called"):
            while run.pieces and run.pieces.pop() != SEARCH:
                pass
        if run.cut:
            run.emit("refused", {"cause": "cut off", "reason": run.cut})
            return
        cut = "the last search" if place == "payload" else "the answer"
        reason = f"{cut} was cut off after {run.tokens} tokens"
        run.emit("refused", {"cause": "token limit", "reason": reason})

    def _finish(self, run: _Run[State], lmm: SegmentingLMM[State]) -> Decoded:
        sequence = "".join(run.pieces)
        text, offsets = visible(sequence)
        lead, heard = len(text) - len(text.lstrip()), text.strip()

        def place(offset: int) -> int:
            return min(max(0, offsets[offset] - lead), len(heard))

        spans = tuple(
            EntitySpan(place(span.start), place(span.end), span.region)
            for span in lmm.spans(run.state)
            if span.end <= len(sequence)
        )
        run.timings_ns["total"] = self._clock.now_ns() - run.began_ns
        return Decoded(
            heard,
            sequence,
            spans,
            tuple(run.searches),
            run.tokens,
            lmm.subject(run.state),
            run.timings_ns,
            lmm.written(run.state) if isinstance(lmm, KeepsWriting) else "",
            run.cut,
        )


def _entry(item: Evidence) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "score": round(item.score, 4),
        "source": item.source,
    }


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _same(left: str, right: str) -> bool:
    return left.casefold().split() == right.casefold().split()
