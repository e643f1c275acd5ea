"""What looks tell: colours, which is larger; and of a state, that they do not tell it."""

import re
from collections.abc import Iterator

from perception.scene.colour import colours_of
from perception.scene.reader import Scene, where
from reasoning.rules.focus import find_named, missed
from reasoning.rules.listing import LISTED, ViewListing
from reasoning.rules.parsing import (
    compared,
    listed,
    owned_part,
    plural,
    pointed_noun,
    state_of,
    with_article,
)
from reasoning.rules.script import DONT_KNOW, LIKELY, Say, ScriptPiece, ScriptState

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


class AppearanceAnswers:
    """Scripts that make no search."""

    def __init__(self, scene: Scene, listing: ViewListing) -> None:
        self._scene, self._listing = scene, listing

    def look(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
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

    def _colour(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        part, phrase = owned_part(question)
        thing = turn.focus if not phrase else find_named(self._scene, turn, phrase)
        if thing is None:
            yield Say(missed(phrase) if phrase else f"{DONT_KNOW}: nothing stands out in view.")
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

    def _coloured(self, turn: ScriptState, colour: str) -> Iterator[ScriptPiece]:
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

    def _larger(self, turn: ScriptState, kind: str, one: str, other: str) -> Iterator[ScriptPiece]:
        first, second = find_named(self._scene, turn, one), find_named(self._scene, turn, other)
        for phrase, thing in ((one, first), (other, second)):
            if thing is None:
                yield Say(missed(phrase))
                return
        assert first is not None and second is not None
        swap = (first.mask.sum() < second.mask.sum()) != (kind == "smaller")
        winner, phrase = (second, other) if swap else (first, one)
        yield Say("The")
        yield Say(f" {phrase}", winner)
        yield Say(f" looks {kind} from here.")

    def _extreme(self, turn: ScriptState, which: str) -> Iterator[ScriptPiece]:
        things = sorted(
            self._listing.everything(turn.prompt.view).items(),
            key=lambda item: int(item[1].mask.sum()),
        )
        if not things:
            yield Say(f"{DONT_KNOW}: I see nothing that I can name.")
            return
        label, thing = things[0] if which == "smallest" else things[-1]
        yield Say(f"Of what I can name, the {which} looks to be")
        yield Say(f" the {label}", thing)
        yield Say(f" {where(thing, turn.prompt.view.frame.size)}.")

    def state(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """What looks do not tell here: whether it is open, who is winning, what is being done."""
        phrase, state = state_of(question)
        thing = find_named(self._scene, turn, phrase) if phrase else None
        if phrase and thing is None:
            yield Say(missed(phrase))
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
        yield from self._listing.told(turn.prompt.view)
