"""EPIC-KITCHENS-100's narrations as a record of events, and questions on it with their truth.

Damen et al., "Rescaling Egocentric Vision", 2022. The rows are CC BY-NC 4.0: read from where the
user put them, never kept in the project. Verb and noun classes make the truth and nothing else.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.memory.counting import MERGE_GAP_NS, Episode, merge_episodes
from retrieval.memory.events import Event
from stream.clock import NS_PER_S
from stream.errors import SourceError

Half = Literal["tuning", "held_out"]
Wording = Literal["own", "other"]  # of a question: the narrator's of that video, or another's
PATH = (
    Path(__file__).resolve().parents[2] / "shared" / "data" / "epic100" / "EPIC_100_validation.csv"
)
PAIRS = 4  # questions of one video at most
LEAST = 2  # rows of an act that is asked about


@dataclass(frozen=True, slots=True)
class Narration:
    """One row."""

    event: Event
    verb: str  # as parsed by the authors: "put-down"
    noun: str  # "board:chopping"
    kind: tuple[int, int]  # verb and noun class: truth only


@dataclass(frozen=True, slots=True)
class Case:
    """One act of one video: how to ask for it, and when it was done."""

    video: str
    said: str  # "open the fridge"
    verb: str  # in the words of one narration
    noun: str
    truth: tuple[Episode, ...]


def half_of(video: str) -> Half:
    """By its name's digest: nobody chose which videos are looked at."""
    return "tuning" if hashlib.sha256(video.encode()).digest()[0] % 2 == 0 else "held_out"


def read_narrations(path: Path = PATH) -> dict[str, list[Narration]]:
    """The rows of each video in order of time; raises SourceError where the file is absent."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [_narration(row) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise SourceError(
            f"expected EPIC-KITCHENS-100's EPIC_100_validation.csv at {path} ({error}); "
            "get it from the authors (CC BY-NC 4.0) or say where it is with --data"
        ) from error
    videos: dict[str, list[Narration]] = {}
    for row in sorted(rows, key=lambda row: (row.event.session, row.event.start_ns)):
        videos.setdefault(row.event.session, []).append(row)
    return videos


def _narration(row: Mapping[str, str]) -> Narration:
    start_ns, stop_ns = _ns(row["start_timestamp"]), _ns(row["stop_timestamp"])
    event = Event(
        row["narration_id"], row["video_id"], start_ns, max(start_ns, stop_ns),
        text=row["narration"],
    )  # fmt: skip
    kind = int(row["verb_class"]), int(row["noun_class"])
    return Narration(event, row["verb"], row["noun"], kind)


def _ns(text: str) -> int:
    hours, minutes, seconds = text.split(":")
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * NS_PER_S)


def read_cases(videos: Mapping[str, Sequence[Narration]], wording: Wording) -> list[Case]:
    """At most `PAIRS` acts of each video that were done at least `LEAST` times, by digest.

    Each is asked for in the words of a narration of the same classes, up to the noun: one of the
    same video ("own"), or one of another wearer in the same half of the videos ("other").
    """
    elsewhere: dict[tuple[Half, tuple[int, int]], list[Narration]] = {}
    for video, rows in videos.items():
        for row in rows:
            elsewhere.setdefault((half_of(video), row.kind), []).append(row)
    found: list[Case] = []
    for video, rows in videos.items():
        groups: dict[tuple[int, int], list[Narration]] = {}
        for row in rows:
            groups.setdefault(row.kind, []).append(row)
        asked: list[Case] = []
        for group in sorted(groups.values(), key=lambda group: _digest(group[0].event.id)):
            if len(group) < LEAST or len(asked) == PAIRS:
                continue
            sources = group
            if wording == "other":
                every = elsewhere[half_of(video), group[0].kind]
                sources = [row for row in every if _wearer(row) != _wearer(group[0])]
            asked += _case(video, group, sources)
        found += asked
    return found


def _case(video: str, group: Sequence[Narration], sources: Sequence[Narration]) -> list[Case]:
    """One case, or none where no narration can be asked with."""
    spans = [(one.event, one.event.start_ns, one.event.end_ns) for one in group]
    for row in sorted(sources, key=lambda row: _digest(row.event.id, video)):
        words = _asked_words(row)
        if words is not None:
            said = f"{words[0]} the {words[1]}"
            return [Case(video, said, *words, merge_episodes(spans, MERGE_GAP_NS))]
    return []


def _wearer(row: Narration) -> str:
    return row.event.session.split("_")[0]


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("/".join(parts).encode()).digest()


def _asked_words(row: Narration) -> tuple[str, str] | None:
    """Verb and noun as the narration has them; None where the noun does not follow in it."""
    head, *before = row.noun.split(":")
    noun = " ".join([*before, head])
    verb, found, _ = row.event.text.lower().partition(f" {noun}")
    return (verb.removesuffix(" the"), noun) if found and verb else None
