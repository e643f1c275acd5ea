"""What was recalled, in words: when by the wearer's clock, how long ago, what, and beside what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from retrieval.sources.sentences import quote
from stream.clock import NS_PER_S
from stream.geometry import Box

MAX_BESIDE = 2  # things named beside what was looked for
STEPS = {-1: "just before that, ", 0: "", 1: "just after that, "}


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing of a moment: what it is called and where it was."""

    name: str
    box: Box
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class RecalledMoment:
    """All that is told of one event."""

    id: str
    start_ns: int  # Unix time
    end_ns: int
    zone: str
    text: str = ""
    said: str = ""
    spoken_by: str = ""
    things: tuple[Seen, ...] = ()


def tell(moment: RecalledMoment, thing: Seen | None, now_ns: int, step: int = 0) -> str:
    """ "14:02, 12 minutes ago: blue cup, next to kettle"; `step`: just before (-1) or after (1)."""
    told = []
    if thing is not None and thing.name:
        beside = next_to(thing, moment.things)
        told.append(thing.name + (f", next to {' and '.join(beside)}" if beside else ""))
    elif names := list(dict.fromkeys(seen.name for seen in moment.things if seen.name)):
        told.append(", ".join(names[: 2 * MAX_BESIDE]))
    if moment.text:
        told.append(quote(moment.text))
    if moment.said:
        by = {"wearer": "you said", "foveal": "I said", "": "heard"}.get(
            moment.spoken_by, f"{moment.spoken_by} said"
        )
        told.append(f'{by} "{quote(moment.said)}"')
    when = f"{clock_time(moment.start_ns, now_ns, moment.zone)}, {ago(moment.end_ns, now_ns)}"
    return f"{STEPS[step]}{when}: {'; '.join(told) or 'something that has no name'}"


def next_to(thing: Seen, things: Sequence[Seen]) -> list[str]:
    """Names of what lay nearest to it, by the gap between boxes; not its own name."""
    others = sorted(
        (seen for seen in things if seen.name and seen.name != thing.name),
        key=lambda seen: _gap(thing.box, seen.box),
    )
    return list(dict.fromkeys(seen.name for seen in others))[:MAX_BESIDE]


def clock_time(at_ns: int, now_ns: int, zone: str) -> str:
    """ "14:02", "yesterday 14:02", "Monday 14:02" within a week, "1 December 2026 14:02"."""
    at, now = (datetime.fromtimestamp(ns / NS_PER_S, ZoneInfo(zone)) for ns in (at_ns, now_ns))
    days, clock = (now.date() - at.date()).days, f"{at:%H:%M}"
    if days == 0:
        return clock
    if days == 1:
        return f"yesterday {clock}"
    if 1 < days < 7:
        return f"{at:%A} {clock}"
    return f"{at.day} {at:%B}{f' {at.year}' if at.year != now.year else ''} {clock}"


def ago(at_ns: int, now_ns: int) -> str:
    """ "just now", "12 minutes ago", "3 hours ago", "2 days ago"."""
    seconds = (now_ns - at_ns) / NS_PER_S
    for unit, length, least in (("day", 86_400, 1.5), ("hour", 3600, 1.5), ("minute", 60, 0.75)):
        if seconds >= least * length:
            count = round(seconds / length)
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return "just now"


def _gap(one: Box, other: Box) -> float:
    across = max(0, max(one[0], other[0]) - min(one[2], other[2]))
    down = max(0, max(one[1], other[1]) - min(one[3], other[3]))
    return float(across**2 + down**2)
