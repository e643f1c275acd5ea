"""Prompts and answers as token sequences, for training and for answering alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from reasoning.data.records import Entity, Information, SearchCall, Segment
from reasoning.generation.tokens import (
    CONTROLS,
    END,
    END_INFORMATION,
    END_SEARCH,
    INFORMATION,
    SEARCH,
    ControlIds,
    neutralise,
    unbracket,
)
from reasoning.pixsearch.spans import IGNORED, Chars, Tokens, bio_labels, counted, token_spans

HISTORY = 2  # earlier turns that are read again
HISTORY_CHARS = 200  # of each earlier answer
MAX_EVIDENCE = 112  # tokens of injected evidence that are read; the rest is only shown


class Tokenizer(Protocol):
    """What is needed of a tokenizer."""

    @property
    def vocabulary(self) -> int: ...

    def pieces(self, text: str) -> list[tuple[int, str]]: ...


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTurn:
    """One turn: L tokens after the visual prefix."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]  # [L] the language loss counts the token (m of eq. 9)
    labels: tuple[int, ...]  # [L] B/I/O, or IGNORED
    spans: tuple[Tokens, ...]  # of the entities


def question_text(question: str, history: Sequence[tuple[str, str]] = ()) -> str:
    """The words before an answer; foreign text has lost its brackets."""
    lines = [
        f"\nQuestion: {neutralise(asked)}\nAnswer: {neutralise(said)[:HISTORY_CHARS]}"
        for asked, said in list(history)[-HISTORY:]
    ]
    return "".join(lines) + f"\nQuestion: {neutralise(question)}\nAnswer:"


def answer_text(pieces: Sequence[Segment]) -> tuple[list[str], list[Chars], list[Chars]]:
    """The answer in stretches (a special token is one), its entities and evidence in characters.

    Evidence goes with its special tokens: the runtime injects all of it.
    """
    stretches: list[str] = []
    entities: list[Chars] = []
    evidence: list[Chars] = []
    length = 0

    def add(text: str, plain: bool = True) -> None:
        nonlocal length
        joins = plain and stretches and stretches[-1] not in CONTROLS
        if joins:
            stretches[-1] += text
        elif text:
            stretches.append(text)
        length += len(text)

    for number, piece in enumerate(pieces):
        start = length
        if isinstance(piece, SearchCall):
            words = piece.modality == "text"
            add(SEARCH, plain=False)
            add(f" {neutralise(piece.query)} " if words else f"<{piece.modality}>", plain=words)
            add(END_SEARCH, plain=False)
        elif isinstance(piece, Information):
            add(INFORMATION, plain=False)
            add(f" {neutralise(piece.text)} ")
            add(END_INFORMATION, plain=False)
            evidence.append((start, length))
        else:
            text = unbracket(piece.text)
            # An answer begins with a space, as after "Answer:"; the pieces bring the others.
            if number == 0 and not text.startswith(" "):
                add(" ")
            start = length + len(text) - len(text.lstrip())
            add(text)
            if isinstance(piece, Entity) and text.strip():
                entities.append((start, start + len(text.strip())))
    return stretches, entities, evidence


def encode_turn(
    tokenizer: Tokenizer,
    question: str,
    pieces: Sequence[Segment],
    history: Sequence[tuple[str, str]] = (),
) -> EncodedTurn:
    """A question and its answer in segments -> tokens with what each loss counts."""
    asked = [token for token, _ in tokenizer.pieces(question_text(question, history))]
    stretches, entities, evidence = answer_text(pieces)
    ids, offsets = _tokens(tokenizer, stretches, evidence)
    learnt = counted(offsets, evidence)
    labels = [
        label if learn else IGNORED
        for label, learn in zip(bio_labels(offsets, entities), learnt, strict=True)
    ]
    begin = len(asked)
    spans = [span for span in token_spans(offsets, entities) if span is not None]
    controls = ControlIds(tokenizer.vocabulary)
    return EncodedTurn(
        (*asked, *ids, controls.id_of(END)),
        (*(False for _ in asked), *learnt, True),
        (*(IGNORED for _ in asked), *labels, 0),
        tuple((first + begin, last + begin) for first, last in spans),
    )


def shorten(encoded: EncodedTurn, longest: int) -> EncodedTurn:
    """At most `longest` tokens; spans that are cut off go."""
    if len(encoded.ids) <= longest:
        return encoded
    return EncodedTurn(
        encoded.ids[:longest],
        encoded.learnt[:longest],
        encoded.labels[:longest],
        tuple(span for span in encoded.spans if span[1] <= longest),
    )


def _tokens(
    tokenizer: Tokenizer, stretches: Sequence[str], evidence: Sequence[Chars]
) -> tuple[list[int], list[Chars]]:
    """Ids with their places in the joined text; of evidence only the first tokens."""
    controls = ControlIds(tokenizer.vocabulary)
    ids: list[int] = []
    offsets: list[Chars] = []
    place = 0
    for stretch in stretches:
        pieces = (
            [(controls.id_of(stretch), stretch)]
            if stretch in CONTROLS
            else tokenizer.pieces(stretch)
        )
        inside = any(start < place < end for start, end in evidence) and stretch not in CONTROLS
        for number, (token, text) in enumerate(pieces):
            if inside and number >= MAX_EVIDENCE:
                place += len(text)
                continue
            # A byte-level token often carries the space before a word: the word is what counts.
            lead = len(text) - len(text.lstrip()) if text.strip() else 0
            ids.append(token)
            offsets.append((place + lead, place + len(text)))
            place += len(text)
    return ids, offsets
