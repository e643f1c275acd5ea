"""Where a thing was last, on days that are made up: what is said against where it was.

    python -m benchmarks.memory_places [--json] [--quick]

A day has 200 visits to pieces of furniture, three in each of five rooms; the next visit is in the
same room three times in four. Ten small things lie on one piece each; 15 times a day one is moved,
seen or not. A visit is an event of what was in view: one piece of furniture (two in a third of
them), what lies on it, a passer-by now and then. Things and furniture are missed (20 %), furniture
is called by another's name (10 %), boxes are off by a tenth. Two in five moves are spoken ("I'll
put the keys on the desk"), the room is spoken of in a fifth of the visits. Every thing is asked for
at the end. Truth is where it was when it was last in view or spoken of.

    event    share of the answers from the last event that has the thing
    place    share that name the piece of furniture first (R@1)
    room     share that name the room, of those asked whose room was told within two events

Peers: `nearest`, the name nearest to the thing in that event; `most often`, the furniture most
often in view together with it, over the day; `first match`, furniture of the first event with it.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.grading import share
from benchmarks.report import emit
from retrieval.memory.events import Event, Sight
from retrieval.memory.places import whereabouts
from retrieval.memory.telling import Seen, next_to
from stream.clock import NS_PER_S
from stream.geometry import Box

ROOMS = {
    "kitchen": ("stove", "worktop", "dishwasher"),
    "bedroom": ("bed", "wardrobe", "nightstand"),
    "office": ("desk", "bookcase", "printer"),
    "garage": ("workbench", "trailer", "freezer"),
    "bathroom": ("bathtub", "washbasin", "hamper"),
}
THINGS = (
    "keys", "wallet", "phone", "umbrella", "stapler", "screwdriver", "water bottle", "red cup",
    "notebook", "headphones",
)  # fmt: skip
HOME = {piece: room for room, pieces in ROOMS.items() for piece in pieces}
PIECES = tuple(HOME)
VISITS, MOVES, STAYS = 200, 15, 0.75
MISSED, MISNAMED, SPOKEN, TOLD, PASSER_BY = 0.2, 0.1, 0.4, 0.2, 0.15
GOAL = 0.8  # place


@dataclass(slots=True)
class Day:
    """What was recorded, and the truth."""

    events: list[Event] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    last: dict[str, tuple[str, str]] = field(default_factory=dict)  # thing -> event id, furniture


Answer = tuple[str, str, str]  # event id, furniture, room
Way = Callable[[Day, str], Answer]


def main() -> int:
    """Ask for every thing of every day."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="3 days")
    args = parser.parse_args()
    days = [make_day(seed) for seed in range(3 if args.quick else 30)]
    ways: dict[str, Way] = {
        "foveal": ours, "nearest": nearest, "most often": most_often, "first match": first_match,
    }  # fmt: skip
    rows = {name: figures(days, way) for name, way in ways.items()}
    emit("memory_places", rows, {"place": f">= {GOAL}"}, rows["foveal"]["place"] >= GOAL)
    return 0


def make_day(seed: int) -> Day:
    """A day of visits."""
    rng = np.random.default_rng(seed)
    day = Day()
    lies = {thing: str(rng.choice(PIECES)) for thing in THINGS}
    moves = set(rng.choice(VISITS, MOVES, replace=False).tolist())
    piece = PIECES[0]
    for visit in range(VISITS):
        stays = rng.random() < STAYS
        piece = str(rng.choice(ROOMS[HOME[piece]] if stays else PIECES))
        said = ""
        if visit in moves:
            thing = str(rng.choice(THINGS))
            lies[thing] = piece
            if rng.random() < SPOKEN:
                said = f"I'll put the {thing} on the {piece} for now."
                day.last[thing] = (f"{visit}", piece)
        if rng.random() < TOLD:
            said += f" This is the {HOME[piece]}."
        start = visit * 60 * NS_PER_S
        event = Event(f"{visit}", f"{seed}", start, start + 30 * NS_PER_S, said=said)
        day.events.append(event)
        _look(day, event, piece, [thing for thing in THINGS if lies[thing] == piece], rng)
    return day


def _look(
    day: Day, event: Event, piece: str, things: Sequence[str], rng: np.random.Generator
) -> None:
    """Sights of one visit: furniture on the left, perhaps another piece beside it, things on it."""
    views: list[tuple[str, Box]] = [(piece, (50, 300, 700, 700))]
    if rng.random() < 1 / 3:
        room = [other for other in ROOMS[HOME[piece]] if other != piece]
        views.append((str(rng.choice(room)), (720, 250, 1250, 700)))
    if rng.random() < PASSER_BY:
        views.append(("man", (200, 50, 500, 700)))
    for name, box in views:
        if name in HOME and rng.random() < MISNAMED:
            name = str(rng.choice(PIECES))
        if rng.random() >= MISSED:
            _see(day, event, name, box, rng)
    for thing in things:
        if rng.random() >= MISSED:
            x, y = int(rng.integers(80, 620)), int(rng.integers(320, 640))
            _see(day, event, thing, (x, y, x + 60, y + 50), rng)
            day.last[thing] = (event.id, piece)


def _see(day: Day, event: Event, name: str, box: Box, rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    across, down = (int(rng.normal() * 0.1 * size) for size in (x1 - x0, y1 - y0))
    moved = (x0 + across, y0 + down, x1 + across, y1 + down)
    start = event.start_ns + int(rng.integers(5)) * NS_PER_S
    track = len(day.sights)
    day.sights.append(Sight(event.id, track, name, 0.8, moved, start, event.end_ns))


def ours(day: Day, thing: str) -> Answer:
    """What ships: the words where there are any, else the likeliest holder."""
    found = whereabouts(thing, day.events, day.sights)
    if found is None:
        return "", "", ""
    told = found.told.removeprefix("on the ")
    return found.event.id, told or next(iter(found.around), ""), found.room


def nearest(day: Day, thing: str) -> Answer:
    """The name nearest to the thing where it was last seen."""
    mine = [one for one in day.sights if one.name == thing]
    if not mine:
        return "", "", ""
    last = mine[-1]
    others = [Seen(one.name, one.box) for one in day.sights if one.event == last.event]
    return last.event, next(iter(next_to(Seen(thing, last.box), others)), ""), ""


def most_often(day: Day, thing: str) -> Answer:
    """The furniture that shares most events with it."""
    events = [one.event for one in day.sights if one.name == thing]
    names = Counter(one.name for one in day.sights if one.event in events and one.name in HOME)
    return events[-1] if events else "", names.most_common(1)[0][0] if names else "", ""


def first_match(day: Day, thing: str) -> Answer:
    """Furniture of the first event that has it: search without a sense of time."""
    first = next((one.event for one in day.sights if one.name == thing), "")
    names = [one.name for one in day.sights if one.event == first and one.name in HOME]
    return first, next(iter(names), ""), ""


def figures(days: Sequence[Day], way: Way) -> dict[str, float]:
    """Shares (0..1) with their intervals, of the things that left any trace."""
    event = place = room = rooms = asked = 0
    for day in days:
        for thing, (true_event, true_piece) in day.last.items():
            said = way(day, thing)
            asked += 1
            event += said[0] == true_event
            place += said[1] == true_piece
            if _room_told(day, true_event):
                rooms += 1
                room += said[2] == HOME[true_piece]
    return {
        "asked": asked,
        **share("event", event, asked),
        **share("place", place, asked),
        **share("room", room, rooms),
    }


def _room_told(day: Day, event: str) -> bool:
    at = int(event)
    return any("This is the" in one.said for one in day.events[max(0, at - 2) : at + 3])


if __name__ == "__main__":
    main()
