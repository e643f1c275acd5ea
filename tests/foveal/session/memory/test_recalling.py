"""A session's questions to its memory: found, timed, told in one sentence."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foveal.session.memory.recalling import Recalling, moment_words
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import Event, MemorySession, Sight
from retrieval.memory.searcher import MemorySearcher
from stream.clock import NS_PER_S, VirtualClock
from stream.events import Query

DAY_NS = 1_700_000_000 * NS_PER_S  # 14 November 2023, 22:13:20 UTC
BIG, SMALL, BESIDE = (0, 0, 400, 300), (100, 100, 140, 140), (150, 100, 200, 150)


def at(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def event(number: int, start: int, end: int, said: str = "", by: str = "") -> Event:
    return Event(f"s/{number}", "s", at(start), at(end), said=said, spoken_by=by)


def sight(number: int, name: str, start: int, end: int, box: tuple[int, int, int, int]) -> Sight:
    return Sight(f"s/{number}", 1, name, 0.9, box, at(start), at(end))


RECORDS = [
    MemoryRecord(event(1, 0, 10), [sight(1, "cat", 2, 4, SMALL), sight(1, "sofa", 0, 10, BIG)]),
    MemoryRecord(
        event(2, 10, 20), [sight(2, "cup", 11, 19, SMALL), sight(2, "kettle", 11, 19, BESIDE)]
    ),
    MemoryRecord(event(3, 12, 12, "Where is the cup?", "wearer")),
    MemoryRecord(event(4, 20, 40), [sight(4, "cat", 20, 28, SMALL)]),
    MemoryRecord(event(5, 40, 60), [sight(5, "cat", 45, 50, SMALL), sight(5, "sofa", 40, 60, BIG)]),
]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(DAY_NS + at(70))


@pytest.fixture
def memory(tmp_path: Path, clock: VirtualClock) -> Iterator[Recalling]:
    path = tmp_path / "day.memory"
    with MemoryStore(path) as store:
        store.begin(MemorySession("s", DAY_NS))
        store.append(RECORDS)
    made = Recalling(MemorySearcher(path, clock), clock, lambda: None, replays=True)
    yield made
    made.close()


def told(memory: Recalling, text: str) -> str:
    found = memory.search(Query("text", text, source="memory"))
    return found[0].nearest[0] if found and found[0].nearest else ""


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Where did you last see the cat?", "I last saw the cat 20 seconds ago, by the sofa."),
        ("When did I last see the cat?", "I last saw the cat 25 seconds ago."),
        ("How many times did I see the cat?", "I saw the cat three times, last 25 seconds ago."),
        (
            "Where did I leave my cup?",
            "I last saw your cup 51 seconds ago, by the sofa, next to the kettle.",
        ),
        ("Where did you first see the cat?", "I first saw the cat 1 minute ago, by the sofa."),
        ("Where did I leave my keys?", ""),
    ],
)
def test_what_is_told(memory: Recalling, question: str, sentence: str) -> None:
    assert told(memory, question) == sentence


def test_the_moment_behind_it_keeps_its_id_and_its_box(memory: Recalling) -> None:
    (found, *_) = memory.search(Query("text", "Where did you last see the cat?"))
    assert (found.id, found.region, found.source) == ("s/5", SMALL, "memory")


def test_what_lies_after_now_is_not_known_in_a_recording_seen_before(tmp_path: Path) -> None:
    path, clock = tmp_path / "day.memory", VirtualClock(DAY_NS + at(41))
    with MemoryStore(path) as store:
        store.begin(MemorySession("s", DAY_NS))
        store.append(RECORDS)
    memory = Recalling(MemorySearcher(path, clock), clock, lambda: None, replays=True)
    (found, *_) = memory.search(Query("text", "Where did you last see the cat?"))
    memory.close()
    assert found.id == "s/4"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (12 * 60, "12 minutes ago"),
        (2 * 3600, "at 20:13"),
        (86_400, "yesterday at 22:13"),
        (3 * 86_400, "on Saturday at 22:13"),
        (40 * 86_400, "on 5 October at 22:13"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert moment_words(DAY_NS - at(seconds), DAY_NS, "UTC") == words
