"""What sight alone tells: names, lists, places, words, colours, counts; and what it cannot tell."""

import re
from collections.abc import Iterator
from dataclasses import replace
from weakref import WeakKeyDictionary

from perception.scene.class_hierarchy import fitting
from perception.scene.colour import colours_of
from perception.scene.name_matching import words_of
from perception.scene.reader import GroundedRegion, Scene, SceneView, where
from reasoning.rules.focus import GENERIC, in_reach, most_prominent
from reasoning.rules.listing import (
    LISTED,
    Named,
    beside,
    beside_of,
    enumerate_things,
    on_side,
    room_of,
    side_of,
    things_in_view,
    upon,
)
from reasoning.rules.parsing import (
    compared,
    listed,
    named_thing,
    owned_part,
    plural,
    pointed_noun,
    state_of,
    with_article,
)
from reasoning.rules.pieces import DONT_KNOW, LIKELY, SURE, Piece, Say, TurnState
from reasoning.rules.written_words import reading
from stream.errors import PromptError

MAX_TOLD = 4  # of things that are counted, whose places are told
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_HELD = re.compile(r"\b(?:hold(?:ing)?|in\s+(?:my|his|her|their)\s+hands?|carry(?:ing)?)\b", re.I)
_ROOM = re.compile(
    r"\b(?:where\s+am\s+i|(?:what|which|kind\s+of)\s+(?:room|place)|place\s+is\s+this)\b", re.I
)
_BEHIND = re.compile(r"\bbehind\s+(?:me|us)\b", re.I)
_ON = re.compile(
    r"\b(?:on|in|inside|upon|on\s+top\s+of)\s+(?:the|this|that|my)\s+(?P<thing>\w+)", re.I
)
_COLOUR = re.compile(
    r"\bcolou?r|\b(?:red|orange|yellow|green|turquoise|blue|purple|pink|brown|beige|white|black|"
    r"gr[ae]y)\b",
    re.I,
)
_COLOURS = "red|orange|yellow|green|turquoise|blue|purple|pink|brown|beige|white|black|gr[ae]y"
_COLOURED_ONE = re.compile(
    rf"\b(?P<first>{_COLOURS})\s+(?:one|thing|object|item)s?\b|"
    rf"^\s*(?:what|which)(?:\s+\w+)?\s+(?:is|are)\s+(?P<last>{_COLOURS})[\s?.!]*$",
    re.I,
)
_BIGGEST = re.compile(r"\b(?P<which>biggest|largest|smallest)\b", re.I)


class Sight:
    """Scripts that make no search."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        # Several questions on one view share what the list of it took.
        self._listed: WeakKeyDictionary[SceneView, tuple[Named, Named]] = WeakKeyDictionary()

    def name(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """What it is."""
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        if _HELD.search(question):
            # Hands are not told from other things: what lies where they are may not be held.
            near = in_reach(turn.prompt.view)
            if near is None:
                yield Say(f"{DONT_KNOW}: I see nothing near your hands that I can name.")
                return
            focus = near
            yield Say("It may be")
        else:
            yield Say("This is" if focus.score >= SURE else "This looks like")
        yield Say(f" {with_article(focus.names[0].label)}", focus)
        yield Say(".")

    def list(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """What is in view, or in the part of it that is asked about."""
        view = turn.prompt.view
        size = view.frame.size
        if _BEHIND.search(question):
            yield Say(f"{DONT_KNOW}: I only see what the camera looks at.")
            return
        everything = self._everything(turn)
        there: Named | None = None
        if _ROOM.search(question):
            room = room_of(everything.values())
            yield Say(f"This looks like {room}. " if room else f"{DONT_KNOW} where this is. ")
        elif side := side_of(question):
            there = on_side(everything, side, size)
        elif beside := beside_of(question):
            there = self._beside(turn, everything, *beside)
        elif on := _ON.search(question):
            under = self._found(turn, on.group("thing"))
            if under is None:
                yield Say(f"I can't make out the {on.group('thing')}. ")
            there = upon(everything, under) if under else None
        if there:
            yield Say("I see")
            yield from enumerate_things(there, size)
            yield Say(".")
            return
        if there is not None and everything:
            yield Say("I can name nothing there. ")
        if not everything:
            count = len(view.things)
            things = (
                f"{NUMBERS[count] if count < len(NUMBERS) else count} thing{'s' * (count != 1)}"
            )
            verb = "stands" if count == 1 else "stand"
            yield Say(f"I see {things} that {verb} out, none that I can name.")
            return
        yield from self._seen(turn)

    def find(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """Where it is."""
        phrase = named_thing(question)
        thing = self._found(turn, phrase)
        if thing is None:
            yield Say(_missed(phrase))
            return
        turn.subject = phrase = phrase or thing.names[0].label
        yield Say("The")
        yield Say(f" {phrase}", thing)
        verb = "are" if plural(phrase) else "is"
        yield Say(f" {verb} {where(thing, turn.prompt.view.frame.size)}.")

    def read(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """What is written."""
        yield Say(reading(question, self._scene.read_text(turn.prompt.view)))

    def check(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """Whether it is there, or whether it is that."""
        phrase = named_thing(question)
        if re.match(r"\s*(?:is|are)\s+(?:this|that|it|these|those|they)\b", question, re.I):
            yield from self._is_that(turn, phrase)
            return
        view = turn.prompt.view
        if re.match(r"(?:any|some)thing\b", phrase):
            yield from self._seen(turn)
            return
        if re.match(r"(?:any|some)(?:one|body)\b", phrase):
            phrase = "person"
        thing = self._found(turn, phrase)
        if thing is None:
            seen = f"No, I don't see {_any(phrase)}."
            yield Say(seen if fitting(phrase) else f"I see no {phrase}, but I may miss some.")
            return
        turn.subject = phrase
        name = thing.names[0]
        # What fits the phrase may be named something else: a cat fits "dog" a little.
        if _same_noun(phrase, name.label):
            yield Say(
                "Yes, I see" if name.probability >= LIKELY else "Probably: I see what looks like"
            )
        else:
            yield Say("I am not sure: I see what looks like")
        yield Say(f" {with_article(name.label)}", thing)
        yield Say(f" {where(thing, view.frame.size)}.")

    def _is_that(self, turn: TurnState, phrase: str) -> Iterator[Piece]:
        """ "Is this a cat?": the best name says yes or no."""
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        best = focus.names[0]
        same = next((name for name in focus.names if _same_noun(phrase, name.label)), None)
        if same is None:
            yield Say(
                "No, it looks like" if best.probability >= LIKELY else "I don't think so: it may be"
            )
            yield Say(f" {with_article(best.label)}", focus)
        elif same is best:
            yield Say(
                "Yes, it looks like" if best.probability >= LIKELY else "Probably: it looks like"
            )
            yield Say(f" {with_article(same.label)}", focus)
        else:
            yield Say("Perhaps, but it looks more like")
            yield Say(f" {with_article(best.label)}", focus)
        yield Say(".")

    def count(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """How many there are."""
        phrase = named_thing(question)
        same = self._all_found(turn, phrase)
        if not same:
            yield Say(_missed(phrase or "such things"))
            return
        turn.subject = phrase
        label, count = same[0].names[0].label, len(same)
        if phrase and not _same_noun(phrase, label) and not _is_group(phrase):
            yield Say(f"I am not sure of any {phrase}: what comes nearest is")
            yield Say(f" {with_article(label)}", same[0])
            yield Say(f" {where(same[0], turn.prompt.view.frame.size)}.")
            return
        number = NUMBERS[count] if count < len(NUMBERS) else str(count)
        told = same[:MAX_TOLD]
        yield Say(f"I count {number}:" if len(told) == count else f"I count {number}, such as")
        for place, thing in enumerate(told):
            yield Say(" " if place == 0 else ", " if place < len(told) - 1 else " and ")
            yield Say(with_article(label) if place == 0 else "one", thing)
            yield Say(f" {where(thing, turn.prompt.view.frame.size)}")
        yield Say(". There may be more that I cannot tell apart.")

    def look(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """Colours, and which of two things is larger."""
        pair = compared(question)
        biggest = _BIGGEST.search(question)
        one = _COLOURED_ONE.search(question)
        if pair:
            yield from self._larger(turn, *pair)
        elif one:
            yield from self._coloured(turn, (one.group("first") or one.group("last")).lower())
        elif biggest:
            yield from self._extreme(turn, biggest.group("which").lower())
        elif _COLOUR.search(question):
            yield from self._colour(turn, question)
        else:
            yield from self.state(turn, question)

    def _colour(self, turn: TurnState, question: str) -> Iterator[Piece]:
        part, phrase = owned_part(question)
        thing = turn.focus if not phrase else self._found(turn, phrase)
        if thing is None:
            yield Say(_missed(phrase) if phrase else f"{DONT_KNOW}: nothing stands out in view.")
            return
        if part:
            yield Say(f"{DONT_KNOW} the colour of {part}: I can't tell parts of a thing apart.")
            return
        colours = [*colours_of(turn.prompt.view.frame.image, thing.mask)]
        turn.subject = phrase or turn.subject
        asked = re.match(r"\s*(?:is|are)\b", question, re.I) and _COLOUR.search(question)
        word = asked.group().lower().replace("gray", "grey") if asked else ""
        if word:
            yield Say("Yes, the" if word in colours else "No, the")
        else:
            yield Say("The")
        name = thing.names[0].label if thing.score >= LIKELY else "thing"
        yield Say(f" {phrase or pointed_noun(question) or name}", thing)
        yield Say(f" {'look' if plural(phrase) else 'looks'} {listed(colours)}.")

    def _coloured(self, turn: TurnState, colour: str) -> Iterator[Piece]:
        """Which thing has a colour; what has it alone comes before what has it too."""
        image = turn.prompt.view.frame.image
        wanted = colour.replace("gray", "grey")
        ranked = []
        for thing in turn.prompt.view.things:
            colours = colours_of(image, thing.mask)
            if wanted in colours and thing.score >= LISTED:
                ranked.append((colours.index(wanted), len(colours), -thing.score, thing))
        if not ranked:
            yield Say(f"{DONT_KNOW}: I see nothing {wanted} that I can name.")
            return
        thing = min(ranked, key=lambda row: row[:3])[3]
        yield Say("That looks like" if thing.score >= LIKELY else "That may be")
        yield Say(f" {with_article(thing.names[0].label)}", thing)
        yield Say(f" {where(thing, image.shape[:2])}.")

    def _larger(self, turn: TurnState, kind: str, one: str, other: str) -> Iterator[Piece]:
        first, second = self._found(turn, one), self._found(turn, other)
        for phrase, thing in ((one, first), (other, second)):
            if thing is None:
                yield Say(_missed(phrase))
                return
        assert first is not None and second is not None
        swap = (first.mask.sum() < second.mask.sum()) != (kind == "smaller")
        winner, phrase = (second, other) if swap else (first, one)
        yield Say("The")
        yield Say(f" {phrase}", winner)
        yield Say(f" looks {kind} from here.")

    def _extreme(self, turn: TurnState, which: str) -> Iterator[Piece]:
        things = sorted(self._everything(turn).items(), key=lambda item: int(item[1].mask.sum()))
        if not things:
            yield Say(f"{DONT_KNOW}: I see nothing that I can name.")
            return
        label, thing = things[0] if which == "smallest" else things[-1]
        yield Say(f"Of what I can name, the {which} looks to be")
        yield Say(f" the {label}", thing)
        yield Say(f" {where(thing, turn.prompt.view.frame.size)}.")

    def state(self, turn: TurnState, question: str) -> Iterator[Piece]:
        """What looks do not tell here: whether it is open, who is winning, what is being done."""
        phrase, state = state_of(question)
        thing = self._found(turn, phrase) if phrase else None
        if phrase and thing is None:
            yield Say(_missed(phrase))
            return
        if thing is not None:
            turn.subject = phrase
            yield Say(f"{DONT_KNOW}: I see the")
            yield Say(f" {phrase}", thing)
            verb = "are" if plural(phrase) else "is"
            yield Say(
                f", but I can't tell whether {'they' if verb == 'are' else 'it'} {verb} {state}."
            )
            return
        yield Say(f"{DONT_KNOW}: I can't tell that from looks. ")
        yield from self._seen(turn)

    def _seen(self, turn: TurnState) -> Iterator[Piece]:
        view = turn.prompt.view
        sure, maybe = self._listing(turn)
        if sure:
            yield Say("I see")
            yield from enumerate_things(sure, view.frame.size)
        if maybe:
            yield Say("; there may be" if sure else "I am not sure, but I may see")
            yield from enumerate_things(maybe, view.frame.size)
        yield Say("." if sure or maybe else "I see nothing that I can name.")

    def _listing(self, turn: TurnState) -> tuple[Named, Named]:
        view = turn.prompt.view
        if view not in self._listed:
            prominent = most_prominent(self._scene, view)
            self._listed[view] = things_in_view(self._scene, view, prominent)
        return self._listed[view]

    def _everything(self, turn: TurnState) -> Named:
        sure, maybe = self._listing(turn)
        return {**sure, **{label: one for label, one in maybe.items() if label not in sure}}

    def _beside(self, turn: TurnState, things: Named, how: str, phrase: str) -> Named | None:
        anchor = self._found(turn, phrase)
        return None if anchor is None else beside(things, anchor, how)

    def _all_found(self, turn: TurnState, phrase: str) -> tuple[GroundedRegion, ...]:
        if not phrase:
            return () if turn.focus is None else (turn.focus,)
        try:
            return self._scene.find_all(turn.prompt.view, phrase)
        except PromptError:
            return ()

    def _found(self, turn: TurnState, phrase: str) -> GroundedRegion | None:
        if not phrase:
            return turn.focus
        try:
            found = self._scene.find(turn.prompt.view, phrase)
        except PromptError:
            return None
        return replace(found) if found.mask.any() else None


def _same_noun(phrase: str, label: str) -> bool:
    return _stem(phrase) == _stem(label)


def _is_group(phrase: str) -> bool:
    """Whether a phrase means things of many names ("animals")."""
    return _stem(phrase) in GENERIC


def _stem(words: str) -> str:
    return (words_of(words) or ("",))[-1]


def _any(phrase: str) -> str:
    return f"any {phrase}" if plural(phrase) else with_article(phrase or "such a thing")


def _missed(phrase: str) -> str:
    """What is said of a thing that is not found: gone, where such things are reliably seen."""
    if fitting(phrase) or not phrase:
        return f"I don't see {_any(phrase)} in view."
    return f"{DONT_KNOW}: I can't make out {_any(phrase)} in view."
