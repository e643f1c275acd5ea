"""What sight alone tells: names, lists, places, written words, counts."""

import re
from collections.abc import Iterator

from perception.scene.class_hierarchy import fitting
from perception.scene.reader import Scene, where
from reasoning.rules.focus import (
    any_of,
    find_all_named,
    find_named,
    in_reach,
    is_group,
    missed,
    same_noun,
)
from reasoning.rules.listing import (
    NamedRegions,
    ViewListing,
    beside,
    beside_of,
    enumerate_things,
    on_side,
    room_of,
    side_of,
    upon,
)
from reasoning.rules.parsing import named_thing, plural, with_article
from reasoning.rules.script import DONT_KNOW, LIKELY, SURE, Say, ScriptPiece, ScriptState
from reasoning.rules.written_words import reading

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


class VisualAnswers:
    """Scripts that make no search."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self.listing = scene, ViewListing(scene)

    def name(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
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

    def list(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """What is in view, or in the part of it that is asked about."""
        view = turn.prompt.view
        size = view.frame.size
        if _BEHIND.search(question):
            yield Say(f"{DONT_KNOW}: I only see what the camera looks at.")
            return
        everything = self.listing.everything(view)
        there: NamedRegions | None = None
        if _ROOM.search(question):
            room = room_of(everything.values())
            yield Say(f"This looks like {room}. " if room else f"{DONT_KNOW} where this is. ")
        elif side := side_of(question):
            there = on_side(everything, side, size)
        elif beside := beside_of(question):
            there = self._beside(turn, everything, *beside)
        elif on := _ON.search(question):
            under = find_named(self._scene, turn, on.group("thing"))
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
        yield from self.listing.told(turn.prompt.view)

    def find(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """Where it is."""
        phrase = named_thing(question)
        thing = find_named(self._scene, turn, phrase)
        if thing is None:
            yield Say(missed(phrase))
            return
        turn.subject = phrase = phrase or thing.names[0].label
        yield Say("The")
        yield Say(f" {phrase}", thing)
        verb = "are" if plural(phrase) else "is"
        yield Say(f" {verb} {where(thing, turn.prompt.view.frame.size)}.")

    def read(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """What is written."""
        yield Say(reading(question, self._scene.read_text(turn.prompt.view)))

    def check(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """Whether it is there, or whether it is that."""
        phrase = named_thing(question)
        if re.match(r"\s*(?:is|are)\s+(?:this|that|it|these|those|they)\b", question, re.I):
            yield from self._is_that(turn, phrase)
            return
        view = turn.prompt.view
        if re.match(r"(?:any|some)thing\b", phrase):
            yield from self.listing.told(turn.prompt.view)
            return
        if re.match(r"(?:any|some)(?:one|body)\b", phrase):
            phrase = "person"
        thing = find_named(self._scene, turn, phrase)
        if thing is None:
            seen = f"No, I don't see {any_of(phrase)}."
            yield Say(seen if fitting(phrase) else f"I see no {phrase}, but I may miss some.")
            return
        turn.subject = phrase
        name = thing.names[0]
        # What fits the phrase may be named something else: a cat fits "dog" a little.
        if same_noun(phrase, name.label):
            yield Say(
                "Yes, I see" if name.probability >= LIKELY else "Probably: I see what looks like"
            )
        else:
            yield Say("I am not sure: I see what looks like")
        yield Say(f" {with_article(name.label)}", thing)
        yield Say(f" {where(thing, view.frame.size)}.")

    def _is_that(self, turn: ScriptState, phrase: str) -> Iterator[ScriptPiece]:
        """ "Is this a cat?": the best name says yes or no."""
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        best = focus.names[0]
        same = next((name for name in focus.names if same_noun(phrase, name.label)), None)
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

    def count(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """How many there are."""
        phrase = named_thing(question)
        same = find_all_named(self._scene, turn, phrase)
        if not same:
            yield Say(missed(phrase or "such things"))
            return
        turn.subject = phrase
        label, count = same[0].names[0].label, len(same)
        if phrase and not same_noun(phrase, label) and not is_group(phrase):
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

    def _beside(
        self, turn: ScriptState, things: NamedRegions, how: str, phrase: str
    ) -> NamedRegions | None:
        anchor = find_named(self._scene, turn, phrase)
        return None if anchor is None else beside(things, anchor, how)
