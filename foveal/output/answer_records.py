"""Questions and answers as JSON: what `--ask` and question files say, what answers.jsonl holds."""

import difflib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.clock import NS_PER_MS, NS_PER_S, seconds_to_ns
from stream.errors import ConfigError, FovealError
from stream.events import Answer, Evidence, Question, Region, SearchRecord, Span
from stream.geometry import Box, Rle

MAX_AT_S = 1_000_000  # eleven days; up to here seconds as float keep every nanosecond
QUESTION_KEYS = ("at", "text", "point", "box", "applied")
ASK_FORM = '"SECONDS: TEXT", such as "3.0: What is on the shelf?"'
_SECONDS = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)

Json = dict[str, Any]


def parse_ask(text: str) -> Question:
    """`"3.0: What is on the shelf?"` -> Question; raises ConfigError saying what was expected."""
    head, colon, tail = text.partition(":")
    if not colon or not _SECONDS.fullmatch(head):
        raise ConfigError(f"expected a question as {ASK_FORM}, got {_shown(text)}")
    return Question(_words(tail, f"after the time in {_shown(text)}"), _time(float(head)))


def read_questions(path: Path) -> list[Question]:
    """Read a JSONL file of questions, in file order.

    A line is {"at": seconds, "text": words} with an optional "point": [x, y] or
    "box": [x0, y0, x1, y1] in pixels. "applied": the time of the frame after which a live session
    brought the answer's masks in; without it that is done at once. Blank lines are skipped.
    Raises ConfigError with FILE:LINE.
    """
    questions = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            questions.append(_question(_object(line)))
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from error
    return questions


def clean_text(text: str) -> str:
    """Text without control characters, lone surrogates and runs of white space."""
    kept = "".join(" " if char.isspace() else char for char in text if _is_printed(char))
    return " ".join(kept.encode("utf-8", "replace").decode("utf-8").split())


def answer_record(answer: Answer, *, timed: bool) -> Json:
    """An answer as JSON values. `timed` adds measured durations, which differ from run to run."""
    question = answer.question
    record: Json = {
        "question": {
            "at": question.asked_ns / NS_PER_S,
            "text": question.text,
            "point": list(question.point) if question.point else None,
            "box": list(question.box) if question.box else None,
        },
        "answer": answer.text,
        "sequence": answer.sequence,
        "model": answer.model,
        "spans": [_span_record(span, answer.text) for span in answer.spans],
        "searches": [_search_record(search) for search in answer.searches],
    }
    if answer.cut:
        record["cut"] = answer.cut
    if timed:
        timings = answer.timings_ns.items()
        record["timings_ms"] = {stage: taken / NS_PER_MS for stage, taken in timings}
    return record


def answer_from_record(record: Mapping[str, Any]) -> Answer:
    """The inverse of `answer_record`; raises KeyError, TypeError or ValueError on other JSON."""
    asked = record["question"]
    return Answer(
        question=Question(
            text=asked["text"],
            asked_ns=seconds_to_ns(asked["at"]),
            point=_tuple(asked["point"]),
            box=_tuple(asked["box"]),
        ),
        text=record["answer"],
        sequence=record["sequence"],
        spans=tuple(_read_span(span) for span in record["spans"]),
        searches=tuple(_read_search(search) for search in record["searches"]),
        timings_ns={
            stage: round(taken * NS_PER_MS) for stage, taken in record.get("timings_ms", {}).items()
        },
        model=record["model"],
        cut=record.get("cut", ""),
    )


def read_answers(path: Path) -> list[Answer]:
    """Read answers.jsonl back; raises ConfigError with FILE:LINE."""
    answers = []
    for number, line in enumerate(_lines(path), 1):
        try:
            answers.append(answer_from_record(_object(line)))
        except (FovealError, LookupError, TypeError, ValueError, AttributeError) as error:
            kind = type(error).__name__
            raise ConfigError(
                f"{path}:{number}: expected an answer as `foveal replay` writes it, "
                f"got {_shown(line)} ({kind}: {error})"
            ) from error
    return answers


def _lines(path: Path) -> list[str]:
    try:
        # Not splitlines: that also breaks at separators which JSON allows inside strings.
        return path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except OSError as error:
        raise ConfigError(f"expected a readable JSONL file at {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"expected UTF-8 text in {path}: {error}; convert it first") from error


def _object(line: str) -> Json:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected one JSON object, got {_shown(line)} ({error})") from error
    if not isinstance(value, dict):
        raise ConfigError(f"expected one JSON object, got {_shown(line)}")
    return value


def _question(record: Json) -> Question:
    for key in record:
        if key not in QUESTION_KEYS:
            near = difflib.get_close_matches(key, QUESTION_KEYS, 1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"expected only {', '.join(QUESTION_KEYS)}, got {_shown(key)}{hint}")
    at, text = record.get("at"), record.get("text")
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise ConfigError(f'expected "at" in seconds, such as 3.0, got {_shown(at)}')
    if not isinstance(text, str):
        raise ConfigError(f'expected "text" with the question, got {_shown(text)}')
    point, box = _pixels(record, "point", 2), _pixels(record, "box", 4)
    if point is not None and box is not None:
        raise ConfigError('expected a "point" or a "box", got both; leave one out')
    if box is not None and not (box[0] < box[2] and box[1] < box[3]):
        raise ConfigError(f'expected a "box" x0,y0,x1,y1 with x0 < x1 and y0 < y1, got {box}')
    applied = record.get("applied")
    if applied is not None and (isinstance(applied, bool) or not isinstance(applied, int | float)):
        raise ConfigError(f'expected "applied" in seconds, such as 3.5, got {_shown(applied)}')
    applied_ns = None if applied is None else _time(applied)
    return Question(_words(text, 'in "text"'), _time(at), _tuple(point), _tuple(box), applied_ns)


def _time(at: int | float) -> int:
    # Compared before any conversion: an integer may be too long for a float.
    if not 0 <= at <= MAX_AT_S:
        shown = _shown(at)
        raise ConfigError(f"expected a time from 0 to {MAX_AT_S} seconds, got {shown}")
    return seconds_to_ns(float(at))


def _words(text: str, where: str) -> str:
    cleaned = clean_text(text)
    if not cleaned:
        raise ConfigError(f"expected words {where}, got {_shown(text)}; ask something")
    return cleaned


def _pixels(record: Json, key: str, count: int) -> list[int] | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, list) and len(value) == count and all(map(_is_pixel, value)):
        return [round(number) for number in value]
    raise ConfigError(f'expected "{key}" as {count} pixel numbers >= 0, got {_shown(value)}')


def _is_pixel(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _is_printed(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) != "Cc"


def _shown(value: object) -> str:
    """A short printable form for messages, whatever came."""
    try:
        text = ascii(value)
    except ValueError:  # an integer beyond Python's limit of printed digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def _span_record(span: Span, text: str) -> Json:
    region = span.region
    return {
        "start": span.start,
        "end": span.end,
        "text": text[span.start : span.end],
        "track_id": region.track_id,
        "pts_ns": region.pts_ns,
        "box": list(region.box) if region.box else None,
        "score": float(region.score),
        "mask": region.mask.as_json(),
    }


def _search_record(search: SearchRecord) -> Json:
    return {
        "kind": search.kind,
        "query": search.query,
        "evidence": [
            {
                "id": found.id,
                "title": found.title,
                "score": float(found.score),
                "source": found.source,
                "text": found.text,
                "region": list(found.region) if found.region else None,
            }
            for found in search.evidence
        ],
    }


def _read_span(record: Mapping[str, Any]) -> Span:
    mask = Rle(_tuple(record["mask"]["size"]), _tuple(record["mask"]["counts"]))
    box: Box | None = _tuple(record["box"])
    region = Region(record["track_id"], record["pts_ns"], mask, box, _score(record))
    return Span(record["start"], record["end"], region)


def _read_search(record: Mapping[str, Any]) -> SearchRecord:
    evidence = tuple(
        Evidence(
            found["id"],
            found["title"],
            found["text"],
            _score(found),
            found["source"],
            _tuple(found["region"]),
        )
        for found in record["evidence"]
    )
    return SearchRecord(record["kind"], record["query"], evidence)


def _score(record: Mapping[str, Any]) -> float:
    return math.nan if record["score"] is None else float(record["score"])


def _tuple(values: list[int] | None) -> Any:
    return None if values is None else tuple(values)
