"""What is in view, put into one sentence: sure things first, then what may be there."""

import re
from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

import numpy as np

from perception.scene.reader import GroundedRegion, Scene, SceneView, where
from reasoning.rules.focus import most_prominent
from reasoning.rules.parsing import with_article
from reasoning.rules.script import Say, ScriptPiece

LISTED, GUESSED = 0.25, 0.1  # that a thing needs to be listed, and to be guessed at
AGREED = 0.3  # the same for a name on which several views of the frame agree
MAX_LISTED, MAX_MAYBE = 4, 2
ON_SHARE = 0.5  # of a thing's box that lies on another thing's for "on it"

NamedRegions = dict[str, GroundedRegion]  # name -> where it is

_SIDE = re.compile(
    r"\b(?:on|to|at|in)\s+(?:the|my|your)\s+(?P<side>left|right|top|bottom|middle|cent(?:er|re)|"
    r"ceiling|floor)\b(?!\s+(?:hand\s+)?(?:side\s+)?of\s+(?:the|my|a|an|this|that))",
    re.IGNORECASE,
)
_SIDES = {
    "left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
    "ceiling": "at the top", "floor": "at the bottom", "middle": "in the middle",
    "center": "in the middle", "centre": "in the middle",
}  # fmt: skip
_BESIDE = re.compile(
    r"\b(?:(?:to|on|at)\s+the\s+)?(?P<how>left|right)\s+(?:hand\s+)?(?:side\s+)?of\s+(?:the|my|this|that)\s+"
    r"(?P<side>\w+)|\b(?P<near>next\s+to|beside|near|behind|above|over|below|under|beneath|in\s+front\s+of)"
    r"\s+(?:the|my|this|that)\s+(?P<thing>\w+)",
    re.IGNORECASE,
)
# Things that stand in one kind of room only.
_ROOMS = (
    ("a bedroom", "bed,four-poster,quilt,pillow,studio couch,bunk bed,cradle,crib,nightstand"),
    ("a bathroom", "toilet,bathtub,tub,shower curtain,toilet seat,washbasin,toothbrush,"
                   "medicine chest"),
    ("a kitchen", "refrigerator,oven,microwave,stove,dishwasher,toaster,wok,frying pan,sink,"
                  "kitchen,spatula,wooden spoon,mixing bowl,dutch oven"),
    ("a living room", "couch,sofa,tv,television,entertainment center,fireplace"),
    ("an office", "desk,monitor,screen,desktop computer,keyboard,computer keyboard,printer"),
    ("a restaurant or café", "restaurant,menu"),
    ("a library or bookshop", "library,bookshop,bookcase"),
    ("a shop", "grocery store,shopping cart,cash machine,vending machine,shoe shop"),
    ("a street", "traffic light,street sign,parking meter,fire hydrant,stop sign,cab,trolleybus,"
                 "bus"),
)  # fmt: skip
MIN_ROOM = 0.2  # probability of a thing that tells a room


def things_in_view(
    scene: Scene, view: SceneView, focus: GroundedRegion | None
) -> tuple[NamedRegions, NamedRegions]:
    """What is there, and what may be there; names differ, surest first."""
    sure: NamedRegions = {}
    for thing in sorted(view.things, key=lambda thing: -thing.score):
        if thing.score >= LISTED:
            sure.setdefault(thing.names[0].label, thing)
    if not sure and focus is not None and focus.score >= LISTED:
        sure[focus.names[0].label] = focus
    maybe: NamedRegions = {}
    for thing in scene.around(view):
        if thing.names[0].label not in sure:
            (sure if thing.score >= AGREED else maybe).setdefault(thing.names[0].label, thing)
    if not sure and not maybe:
        for thing in view.things:
            if thing.score >= GUESSED:
                maybe.setdefault(thing.names[0].label, thing)
    room = min(MAX_MAYBE, MAX_LISTED - min(len(sure), MAX_LISTED))
    return dict(list(sure.items())[:MAX_LISTED]), dict(list(maybe.items())[:room])


def enumerate_things(things: NamedRegions, size: tuple[int, int]) -> Iterator[ScriptPiece]:
    """ " a cup on the left and a cat in the middle"; things beside each other share their place."""
    shown = list(things.items())
    for number, (label, thing) in enumerate(shown):
        last = number == len(shown) - 1
        yield Say(" " if number == 0 else " and " if last else ", ")
        yield Say(with_article(label), thing)
        place = where(thing, size)
        if last or where(shown[number + 1][1], size) != place:
            yield Say(f" {place}")


def side_of(question: str) -> str:
    """The side of the view that is asked about, as `where` words it; empty for none."""
    match = _SIDE.search(question)
    return _SIDES[match.group("side").lower()] if match else ""


def on_side(things: NamedRegions, side: str, size: tuple[int, int]) -> NamedRegions:
    """Those that lie on a side."""
    return {
        label: thing
        for label, thing in things.items()
        if side in where(thing, size) or (side == "in the middle" == where(thing, size))
    }


def upon(things: NamedRegions, under: GroundedRegion) -> NamedRegions:
    """Those that lie on another thing, as far as boxes tell."""
    x0, y0, x1, y1 = under.box
    found: NamedRegions = {}
    for label, thing in things.items():
        left, _, right, bottom = thing.box
        across = max(0, min(x1, right) - max(x0, left)) / max(1, right - left)
        rests = y0 <= bottom <= y1 + 0.1 * (y1 - y0)
        if across >= ON_SHARE and rests and not _same(thing, under):
            found[label] = thing
    return found


def beside_of(question: str) -> tuple[str, str] | None:
    """How things shall lie to which other ("left", "bowl"), or None."""
    match = _BESIDE.search(question)
    if match is None:
        return None
    how = (match.group("how") or " ".join(match.group("near").split())).lower()
    return how, (match.group("side") or match.group("thing")).lower()


def beside(things: NamedRegions, anchor: GroundedRegion, how: str) -> NamedRegions:
    """Those that lie so to another thing; "next to" and the like mean at most its own size away."""
    x0, y0, x1, y1 = anchor.box
    wide, high = x1 - x0, y1 - y0
    found: NamedRegions = {}
    for label, thing in things.items():
        left, top, right, bottom = thing.box
        x, y = (left + right) / 2, (top + bottom) / 2
        near = left < x1 + wide and right > x0 - wide and top < y1 + high and bottom > y0 - high
        fits = {
            "left": x < x0,
            "right": x > x1,
            "above": y < y0,
            "over": y < y0,
            "below": y > y1,
            "under": y > y1,
            "beneath": y > y1,
        }.get(how, near)
        if fits and not _same(thing, anchor):
            found[label] = thing
    return found


def room_of(things: Iterable[GroundedRegion]) -> str:
    """The kind of room that the things tell, or an empty string; the more they agree the better."""
    odds: dict[str, float] = {}
    for thing in things:
        for name in thing.names[:1]:
            for room, kinds in _ROOMS:
                if name.probability >= MIN_ROOM and name.label.lower() in kinds.split(","):
                    odds[room] = odds.get(room, 0.0) + name.probability
    return max(odds, key=lambda room: odds[room]) if odds else ""


def _same(left: GroundedRegion, right: GroundedRegion) -> bool:
    return left is right or bool(np.array_equal(left.mask, right.mask))


class ViewListing:
    """What is in a view, listed; several questions on one view share what that took."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._views: WeakKeyDictionary[SceneView, tuple[NamedRegions, NamedRegions]] = (
            WeakKeyDictionary()
        )

    def everything(self, view: SceneView) -> NamedRegions:
        """What is there and what may be there."""
        sure, maybe = self._of(view)
        return {**sure, **{label: one for label, one in maybe.items() if label not in sure}}

    def told(self, view: SceneView) -> Iterator[ScriptPiece]:
        """ "I see a cup on the left; there may be a spoon in the middle."."""
        sure, maybe = self._of(view)
        if sure:
            yield Say("I see")
            yield from enumerate_things(sure, view.frame.size)
        if maybe:
            yield Say("; there may be" if sure else "I am not sure, but I may see")
            yield from enumerate_things(maybe, view.frame.size)
        yield Say("." if sure or maybe else "I see nothing that I can name.")

    def _of(self, view: SceneView) -> tuple[NamedRegions, NamedRegions]:
        if view not in self._views:
            prominent = most_prominent(self._scene, view)
            self._views[view] = things_in_view(self._scene, view, prominent)
        return self._views[view]
