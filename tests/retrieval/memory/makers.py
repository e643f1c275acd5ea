"""Events and sights for tests: small, plain, and what a test cares about by name."""

from pathlib import Path
from typing import Any

from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import Event, MemorySession, Sight

MINUTE = 60 * 10**9
NOON = 1_764_590_400 * 10**9  # 2025-12-01 12:00 UTC, a Monday
SESSION = MemorySession("s", NOON)


def event(number: int, **fields: Any) -> Event:
    """The event of that minute of the session, a minute long."""
    start = number * MINUTE
    given: dict[str, Any] = {"id": f"e{number}", "session": "s", "start_ns": start}
    given["end_ns"] = start + MINUTE
    return Event(**{**given, **fields})


def sight(number: int, name: str, **fields: Any) -> Sight:
    """A thing in the event of that minute."""
    start = number * MINUTE
    given: dict[str, Any] = {"event": f"e{number}", "track": 1, "confidence": 0.9}
    span = {"box": (10, 10, 50, 50), "start_ns": start, "end_ns": start + MINUTE}
    return Sight(**{"name": name, **given, **span, **fields})


def record(number: int, *names: str, **fields: Any) -> MemoryRecord:
    """An event with things of these names in it."""
    sights = [sight(number, name, track=track) for track, name in enumerate(names)]
    return MemoryRecord(event(number, **fields), sights)


def new_store(folder: Path) -> MemoryStore:
    """A store with one session begun."""
    store = MemoryStore(folder / "wearer.memory")
    store.begin(SESSION)
    return store
