"""Records of search-interleaved training data: one JSON object a line (docs/training_data.md).

A record is a picture with a conversation; each answer is a row of segments: words, an entity with
its mask, a search call, and what came back. Written out, the segments make a sequence of the
grammar in reasoning/generation/grammar.py.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from reasoning.generation.grammar import parse
from reasoning.generation.tokens import (
    END_INFORMATION,
    END_SEARCH,
    IMAGE,
    INFORMATION,
    REGION,
    SEARCH,
    neutralise,
)
from stream.errors import GrammarError, PromptError, SourceError
from stream.events import QueryKind
from stream.geometry import Point, Rle, decode_mask
from stream.writing import writing

MAX_SEARCHES = 3  # of one answer, as the decode loop allows


@dataclass(frozen=True, slots=True)
class Words:
    """Words of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Entity:
    """Words of the answer that name a region."""

    text: str
    mask: Rle  # the size of the record's picture


@dataclass(frozen=True, slots=True)
class SearchCall:
    """A call; `query` is the payload as written: words, `<region>` or `<image>`."""

    modality: QueryKind
    query: str


@dataclass(frozen=True, slots=True)
class Information:
    """What a call brought back; no loss is taken on it."""

    text: str  # entries joined by " | "
    ids: tuple[str, ...]  # of the entries, in order


Segment = Words | Entity | SearchCall | Information
SegmentName = Literal["text", "entity", "search", "information"]


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One question with its answer."""

    question: str
    point: Point | None  # what the wearer points at, x and y in pixels
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A picture with a conversation."""

    id: str
    image: str  # a file, relative to the JSONL file's folder unless absolute; or skimage:NAME
    size: tuple[int, int]  # height, width in pixels
    turns: tuple[TurnRecord, ...]


EXPECTED = "expected a training record as `foveal data build` writes it (docs/training_data.md)"


def sequence_of(segments: Sequence[Segment]) -> str:
    """The answer as it is decoded: `The cat<search><region></search><information> … `."""
    return "".join(_written(segment) for segment in segments)


def as_json(record: TrainingRecord) -> dict[str, Any]:
    """One JSON object."""
    turns = [
        {
            "question": turn.question,
            "point": None if turn.point is None else list(turn.point),
            "segments": [_segment_json(segment) for segment in turn.segments],
        }
        for turn in record.turns
    ]
    return {"id": record.id, "image": record.image, "size": list(record.size), "turns": turns}


def from_json(value: Any) -> TrainingRecord:
    """Inverse of `as_json`; raises SourceError saying what does not fit."""
    try:
        size = (_whole(value["size"][0]), _whole(value["size"][1]))
        turns = tuple(_turn(turn) for turn in value["turns"])
        return TrainingRecord(_text(value["id"]), _text(value["image"]), size, turns)
    except KeyError as error:
        raise SourceError(f"{EXPECTED}, got one without {error}") from error
    except (IndexError, TypeError, ValueError, PromptError) as error:
        raise SourceError(f"{EXPECTED}: {type(error).__name__}: {error}") from error


def problems(record: TrainingRecord) -> list[str]:
    """Everything that makes a record useless, in words; empty for a good one."""
    found = [] if record.id and record.image else ["the id or the image is empty"]
    if min(record.size) < 1:
        found.append(f"size: expected positive numbers, got {record.size}")
    if not record.turns:
        found.append("turns: expected at least one")
    for number, turn in enumerate(record.turns):
        found += [f"turn {number}: {what}" for what in _turn_problems(turn, record.size)]
    return found


def write_jsonl(path: Path, records: Iterable[TrainingRecord]) -> int:
    """One record a line; returns how many. Raises SourceError for one that has problems."""
    count = 0
    with writing(path):
        file = path.open("w", encoding="utf-8")
    try:
        for record in records:
            wrong = problems(record)
            if wrong:
                raise SourceError(f"expected a sound record, got {record.id}: {wrong[0]}")
            with writing(path):
                file.write(json.dumps(as_json(record), ensure_ascii=False) + "\n")
                file.flush()  # a long build that is stopped leaves what it made
            count += 1
    finally:
        with suppress(OSError):  # a full disk was told by the write that met it
            file.close()
    return count


def read_jsonl(path: Path) -> Iterator[TrainingRecord]:
    """The records of a file; raises SourceError naming the line that is none."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _read_line(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"expected a JSONL file of records at {path}: {error}") from error


def _read_line(line: str, place: str) -> TrainingRecord:
    try:
        return from_json(json.loads(line))
    except (ValueError, SourceError) as error:
        raise SourceError(f"{place}: {error}") from error


def _written(segment: Segment) -> str:
    match segment:
        case SearchCall("text", query):
            return f"{SEARCH} {query} {END_SEARCH}"
        case SearchCall(_, query):
            return f"{SEARCH}{query}{END_SEARCH}"
        case Information(text, _):
            return f"{INFORMATION} {text} {END_INFORMATION}"
        case Words(text) | Entity(text, _):
            return text


def _segment_json(segment: Segment) -> dict[str, Any]:
    match segment:
        case Words(text):
            return {"kind": "text", "text": text}
        case Entity(text, mask):
            return {"kind": "entity", "text": text, "mask": mask.as_json()}
        case SearchCall(modality, query):
            return {"kind": "search", "modality": modality, "query": query}
        case Information(text, ids):
            return {"kind": "information", "text": text, "ids": list(ids)}


def _turn(value: Mapping[str, Any]) -> TurnRecord:
    point = value["point"]
    pointed = None if point is None else (_whole(point[0]), _whole(point[1]))
    segments = tuple(_segment(segment) for segment in value["segments"])
    return TurnRecord(_text(value["question"]), pointed, segments)


def _segment(value: Mapping[str, Any]) -> Segment:
    kind = value["kind"]
    if kind == "text":
        return Words(_text(value["text"]))
    if kind == "entity":
        size, counts = value["mask"]["size"], value["mask"]["counts"]
        rle = Rle((_whole(size[0]), _whole(size[1])), tuple(map(_whole, counts)))
        return Entity(_text(value["text"]), rle)
    if kind == "search":
        if value["modality"] not in get_args(QueryKind):
            raise ValueError(f"no such modality: {value['modality']!r}")
        return SearchCall(value["modality"], _text(value["query"]))
    if kind == "information":
        return Information(_text(value["text"]), tuple(map(_text, value["ids"])))
    raise ValueError(f"expected a kind of {', '.join(get_args(SegmentName))}, got {kind!r}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected words, got {value!r}")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"expected a whole number, got {value!r}")
    return value


def _turn_problems(turn: TurnRecord, size: tuple[int, int]) -> Iterator[str]:
    if not turn.question.strip():
        yield "the question is empty"
    if turn.point is not None:
        x, y = turn.point
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            yield f"the point {turn.point} is outside the {size[1]}x{size[0]} picture"
    if not any(isinstance(s, Words | Entity) and s.text.strip() for s in turn.segments):
        yield "the answer says nothing"
    if sum(isinstance(segment, SearchCall) for segment in turn.segments) > MAX_SEARCHES:
        yield f"more than {MAX_SEARCHES} searches"
    yield from _order_problems(turn.segments)
    for segment in turn.segments:
        yield from _segment_problems(segment, size)
    try:
        parse(sequence_of(turn.segments))
    except GrammarError as error:
        yield f"the sequence breaks the grammar: {error}"


def _order_problems(segments: Sequence[Segment]) -> Iterator[str]:
    """Every call is answered at once, and a region call has an entity before it."""
    named = False
    for number, segment in enumerate(segments):
        named |= isinstance(segment, Entity)
        after = segments[number + 1] if number + 1 < len(segments) else None
        before = segments[number - 1] if number else None
        if isinstance(segment, SearchCall) != isinstance(after, Information) and (
            isinstance(segment, SearchCall) or isinstance(after, Information)
        ):
            yield f"segment {number}: a call and its information must follow each other"
        if isinstance(segment, Information) and before is None:
            yield "information comes before any call"
        if isinstance(segment, SearchCall) and segment.modality == "region" and not named:
            yield f"segment {number}: a region call needs an entity before it"


def _segment_problems(segment: Segment, size: tuple[int, int]) -> Iterator[str]:
    if isinstance(segment, SearchCall):
        payload = {"region": REGION, "image": IMAGE}.get(segment.modality)
        if payload is not None and segment.query != payload:
            yield f"expected the query {payload}, got {segment.query!r}"
        if payload is None and (not segment.query.strip() or _is_foreign(segment.query)):
            yield f"expected words as a query, got {segment.query!r}"
        return
    if not segment.text:
        yield "a segment is empty"
    if _is_foreign(segment.text):
        yield f"angle brackets or control characters in {segment.text[:40]!r}"
    if isinstance(segment, Entity):
        if segment.mask.size != size:
            yield f"expected a mask of {size}, got {segment.mask.size}"
        elif not decode_mask(segment.mask).any():
            yield f"the mask of {segment.text!r} is empty"


def _is_foreign(text: str) -> bool:
    return neutralise(text) != " ".join(text.split())
