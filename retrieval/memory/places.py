"""Where a thing was last: its last sight or the last words of it, and what says where that is.

A memory has no map. What says where is, in this order: words ("the keys are on the shelf"), large
things around it, the smallest that holds it first, a room that is spoken of or read nearby, and
where the moment itself has nothing large, what was seen just before and after.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retrieval.memory.events import Event, Sight
from retrieval.memory.telling import Seen, next_to
from retrieval.memory.words.acts import SpokenThing, read_thing
from retrieval.memory.words.lexicon import lexicon
from stream.clock import NS_PER_S
from stream.geometry import Box

LARGE = 3.0  # times the thing's area: what may hold it
HELD = 0.5  # share of the thing inside
TOGETHER_NS = NS_PER_S  # seen at most so far apart, two things are of one view
NEAR = 2  # events before and after that may name the room
MAX_NAMED = 3

_PLACE = re.compile(
    r"\b(on top of|in front of|next to|inside|behind|beneath|beside|between|under|near|into|onto|"
    r"above|below|against|in|on|at|by)\s+((?:(?:the|a|an|my|your|his|her|our|their)\s+)?[^\W\d_]+"
    r"(?:\s+[^\W\d_]+){0,2})"
)
_END = re.compile(
    r"\s+\b(?:and|or|then|so|to|from|with|in|on|at|by|near|under|behind|of|for|because|while|when|"
    r"before|after|is|are|was|again|now|there|here|i|you|we)\b.*$"
)
_SENTENCE = re.compile(r"[^.;!?\n]+")
_WORD = re.compile(r"[^\W\d_]+")
_ROOM = re.compile(
    r"\b(kitchen|bathroom|bedroom|living room|dining room|hallway|hall|corridor|office|study|"
    r"garage|garden|cellar|basement|attic|balcony|terrace|workshop|laundry|meeting room|lobby|"
    r"reception|canteen|shop|supermarket|street|car|bus|train|station|platform|park)\b"
)
_ROLES = frozenset(("person", "man", "woman", "child", "boy", "girl", "hand", "arm"))


@dataclass(frozen=True, slots=True, eq=False)
class Whereabouts:
    """What is known of where a thing was last; empty where nothing is."""

    event: Event  # the last one that has it
    sight: Sight | None  # None where it was only spoken or told of
    told: str = ""  # "on the shelf"
    around: tuple[str, ...] = ()  # large things, the likeliest holder first
    beside: tuple[str, ...] = ()  # what lay nearest
    room: str = ""


def whereabouts(name: str, events: Sequence[Event], sights: Iterable[Sight]) -> Whereabouts | None:
    """The last trace of a named thing; None where there is none, or the name is no name.

    `events` in order of time (of any sessions); `sights` of these events in any order.
    """
    wanted = read_thing(name)
    if wanted is None:
        return None
    seen: dict[str, list[Sight]] = {}
    for sight in sights:
        seen.setdefault(sight.event, []).append(sight)
    for at in range(len(events) - 1, -1, -1):
        event = events[at]
        mine = [one for one in seen.get(event.id, ()) if _is(one, wanted)]
        told = _told_place(event, wanted)
        if not mine and told is None:
            continue
        last = max(mine, key=lambda one: (one.end_ns, one.confidence), default=None)
        return _describe(events, at, last, told or "", seen, wanted)
    return None


def _describe(
    events: Sequence[Event],
    at: int,
    sight: Sight | None,
    told: str,
    seen: dict[str, list[Sight]],
    wanted: SpokenThing,
) -> Whereabouts:
    event = events[at]
    others = [one for one in seen.get(event.id, ()) if one.name and not _is(one, wanted)]
    around: list[str] = []
    beside: list[str] = []
    if sight is not None:
        together = [one for one in others if _apart_ns(one, sight) <= TOGETHER_NS]
        around = _holders(sight.box, together)
        small = [Seen(one.name, one.box) for one in together if one.name not in around]
        beside = next_to(Seen(sight.name, sight.box), small)
        for step in () if around else (-1, 1):
            around += _large_of(events, at + step, event.session, seen, sight.box)
    if not told:
        told = next((place for near in _utterances(events, at) if (
            place := _told_place(near, wanted)
        )), "")  # fmt: skip
    named = tuple(dict.fromkeys(around))[:MAX_NAMED]
    return Whereabouts(event, sight, told, named, tuple(beside), _room(events, at))


def _is(sight: Sight, wanted: SpokenThing) -> bool:
    thing = read_thing(sight.name)
    return thing is not None and thing.fits(wanted)


def _told_place(event: Event, wanted: SpokenThing) -> str | None:
    """Where the event's words say that the thing is: None where they do not name it."""
    found: str | None = None
    for sentence in _SENTENCE.findall(f"{event.text}\n{event.said}".lower()):
        end = _end_of_name(sentence, wanted)
        if end is None:
            continue
        found = found or ""
        place = _PLACE.search(sentence, end)
        if place is not None:
            found = f"{place[1]} {_END.sub('', place[2])}"
    return found


def _end_of_name(sentence: str, wanted: SpokenThing) -> int | None:
    tokens = list(_WORD.finditer(sentence))
    names = [token[0] for token in tokens]
    for at, token in enumerate(tokens):
        keys, rest = lexicon().thing_keys(names[max(0, at - 2) : at + 1])
        if keys & wanted.keys and wanted.modifiers <= {*rest, *names[: at + 1]}:
            return token.end()
    return None


def _holders(box: Box, others: Sequence[Sight]) -> list[str]:
    """Names of what is much larger: what holds the thing, smallest first, then the nearest."""
    large = [one for one in others if _area(one.box) >= LARGE * _area(box) and _is_place(one)]
    held = [one for one in large if _share_inside(box, one.box) >= HELD]
    near = next_to(Seen("", box), [Seen(one.name, one.box) for one in large if one not in held])
    return [*(one.name for one in sorted(held, key=lambda one: _area(one.box))), *near]


def _large_of(
    events: Sequence[Event], at: int, session: str, seen: dict[str, list[Sight]], box: Box
) -> Iterator[str]:
    """What is large in an event just before or after, in the same session."""
    if 0 <= at < len(events) and events[at].session == session:
        for one in seen.get(events[at].id, ()):
            if one.name and _is_place(one) and _area(one.box) >= LARGE * _area(box):
                yield one.name


def _utterances(events: Sequence[Event], at: int) -> list[Event]:
    """What was said in the event or beside it."""
    near = events[max(0, at - NEAR) : at + NEAR + 1]
    return [one for one in near if one.session == events[at].session and one is not events[at]]


def _room(events: Sequence[Event], at: int) -> str:
    """The room that is named nearest, in the event itself first."""
    for one in sorted(
        [events[at], *_utterances(events, at)],
        key=lambda one: abs(one.start_ns - events[at].start_ns),
    ):
        found = _ROOM.findall(f"{one.text} {one.said}".lower())
        if found:
            return str(found[-1])
    return ""


def _is_place(sight: Sight) -> bool:
    """Whoever walks about is no place."""
    return sight.name.split()[-1].lower() not in _ROLES


def _apart_ns(one: Sight, other: Sight) -> int:
    return max(0, max(one.start_ns, other.start_ns) - min(one.end_ns, other.end_ns))


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _share_inside(box: Box, other: Box) -> float:
    across = min(box[2], other[2]) - max(box[0], other[0])
    down = min(box[3], other[3]) - max(box[1], other[1])
    return max(0, across) * max(0, down) / _area(box)
