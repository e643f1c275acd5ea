"""Training records: one JSON object a line, as docs/training_data.md describes them.

Each turn has its question, what it points at, and the answer in segments: words, entities with
their masks, searches, and the evidence that came back.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stream.errors import FovealError, SourceError
from stream.masks import Rle

SegmentName = Literal["text", "entity", "search", "information"]
Modality = Literal["text", "region", "image"]
MAX_LINE = 4 << 20  # characters


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of an answer."""

    kind: SegmentName
    text: str  # the words; a text search's query; empty for a region or image search
    mask: Rle | None = None  # of an entity
    modality: Modality = "text"  # of a search


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A question and its answer."""

    question: str
    point: tuple[int, int] | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A picture and the conversation about it."""

    id: str
    image: str  # a path, or the name of a picture of a package
    size: tuple[int, int]  # height, width in pixels
    turns: tuple[TurnRecord, ...]


def read_records(path: Path) -> Iterator[Record]:
    """Every record of a JSONL file; raises SourceError naming the line that is malformed."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    yield parse_record(json.loads(line[:MAX_LINE]))
                except (KeyError, TypeError, ValueError, FovealError) as error:
                    raise SourceError(
                        f"{path}:{number}: expected a training record, got one with {error!r}"
                    ) from error
    except OSError as error:
        raise SourceError(f"expected a JSONL file of training records: {error}") from error


def parse_record(data: Mapping[str, Any]) -> Record:
    """One decoded object; raises KeyError, TypeError, ValueError or PromptError."""
    height, width = data["size"]
    turns = tuple(_turn(turn) for turn in data["turns"])
    if not turns:
        raise ValueError("no turns")
    return Record(str(data["id"]), str(data["image"]), (int(height), int(width)), turns)


def _turn(data: Mapping[str, Any]) -> TurnRecord:
    point = data.get("point")
    pieces = tuple(_piece(segment) for segment in data["segments"])
    return TurnRecord(
        str(data["question"]), None if point is None else (int(point[0]), int(point[1])), pieces
    )


def _piece(data: Mapping[str, Any]) -> Piece:
    kind = data["kind"]
    match kind:
        case "text" | "information":
            return Piece(kind, str(data["text"]))
        case "entity":
            mask = data.get("mask")
            rle = None if mask is None else Rle(tuple(mask["size"]), tuple(mask["counts"]))
            return Piece(kind, str(data["text"]), rle)
        case "search":
            modality = data["modality"]
            if modality not in ("text", "region", "image"):
                raise ValueError(f"the modality {modality!r}")
            words = str(data.get("query", "")) if modality == "text" else ""
            if modality == "text" and not words.strip():
                raise ValueError("a text search without words")
            return Piece(kind, words, modality=modality)
        case _:
            raise ValueError(f"the kind {kind!r}")
