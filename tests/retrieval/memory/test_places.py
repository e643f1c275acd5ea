"""Where a thing was last."""

from retrieval.memory.events import Event, Sight
from retrieval.memory.places import Whereabouts, whereabouts
from stream.clock import NS_PER_S

TABLE = (0, 400, 900, 700)
CUP = (400, 450, 460, 520)


def event(at_s: int, text: str = "", said: str = "", session: str = "a") -> Event:
    start = at_s * NS_PER_S
    return Event(f"{session}{at_s}", session, start, start + 5 * NS_PER_S, text=text, said=said)


def sight(
    of: Event, name: str, box: tuple[int, int, int, int] = CUP, start_s: int = 0, long_s: int = 5
) -> Sight:
    start = of.start_ns + start_s * NS_PER_S
    return Sight(of.id, 1, name, 0.9, box, start, start + long_s * NS_PER_S)


def last(name: str, events: list[Event], sights: list[Sight]) -> Whereabouts:
    found = whereabouts(name, events, sights)
    assert found is not None
    return found


def test_the_last_sight_and_what_holds_it() -> None:
    early, late = event(0, "a desk"), event(100)
    sights = [
        sight(early, "cup"),
        sight(early, "desk", TABLE),
        sight(late, "room", (0, 0, 1000, 1000)),
        sight(late, "table", TABLE),
        sight(late, "shelf", (0, 0, 900, 200)),
        sight(late, "mug"),
        sight(late, "kettle", (300, 450, 380, 520)),
    ]
    found = last("my cup", [early, late], sights)
    assert found.event is late and found.around == ("table", "room", "shelf")
    assert found.beside == ("kettle",)


def test_a_person_is_no_place_and_what_was_in_view_at_another_time_is_not_around() -> None:
    at = event(0)
    sights = [
        sight(at, "cup", long_s=1),
        sight(at, "old man", (300, 0, 700, 700)),
        sight(at, "sofa", TABLE, start_s=3, long_s=1),
    ]
    assert last("the cup", [at], sights).around == ()


def test_what_was_seen_just_before_where_nothing_large_is_around() -> None:
    before, at, other = event(0), event(10), event(5, session="b")
    sights = [sight(before, "wardrobe", TABLE), sight(at, "keys"), sight(other, "van", TABLE)]
    assert last("keys", [before, at, other], sights).around == ("wardrobe",)


def test_words_say_where() -> None:
    events = [
        event(0, text="put the keys in the drawer"),
        event(9, said="We are in the kitchen now."),
        event(20, said="Did I put the keys on the window sill and go?"),
        event(30, said="the keys are nice"),
    ]
    assert last("keys", events[:2], []).told == "in the drawer"
    assert last("keys", events[:2], []).room == "kitchen"
    assert last("my keys", events[:3], []).told == "on the window sill"
    found = last("the keys", events, [])
    assert found.event is events[3] and found.told == "on the window sill"
    assert found.sight is None


def test_another_thing_is_another() -> None:
    at = event(0, text="put the metal spoon on the table")
    assert whereabouts("wooden spoon", [at], [sight(at, "fork")]) is None
    assert whereabouts("", [at], []) is None
    assert whereabouts("cup", [], []) is None
