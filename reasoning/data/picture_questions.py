"""Makes samples for the rule-based annotator: questions of pictures with known masks and names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from perception.scene.reader import where_box
from reasoning.data.annotator import NamedMask, Sample
from reasoning.data.facts import Fact, facts_of, what_is, worded
from reasoning.rules.parsing import listed, with_article
from retrieval.sources.entries import Entry
from stream.geometry import Point, Rle, decode_mask, mask_box

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
MAX_COUNTED = 5
WHAT_IS = 0.25  # share of the questions of fact that ask what something is
POINTING = 0.5  # share of the questions of a thing that come with a point

IDENTIFY = (
    "What might this be?",
    "What would that be?",
    "Tell me what this is.",
    "Name this thing.",
)
WHERE = ("Where is the {name}?", "Where's the {name}?", "Find the {name}.", "Show me the {name}.")
PRESENT = ("Is there {a_name} here?", "Do you see {a_name}?", "Can you see {a_name}?")
COUNT = ("How many {names} are there?", "How many {names} do you see?")
LIST = ("What is there to see?", "What is in front of me?", "Describe what you see.")
PERSONAL = (
    "Who does this belong to?", "In which shop did I get it?", "What did I spend on this {name}?",
    "What did my friend say about this {name}?", "What will I do with it tomorrow?",
    "Who gave me this {name}?", "When did I last see this {name}?",
    "Since when have I had this one?", "Where did I leave my gloves?", "What is my dentist's name?",
    "What did I cook on Sunday?",
    "What is my locker number?", "When is my next appointment?", "What did she say to me?",
)  # fmt: skip
UNKNOWN = "I don't know: neither what I see nor what I can look up tells that."


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture with what is known to be in it."""

    image: str  # as records name it
    size: tuple[int, int]
    things: tuple[NamedMask, ...]
    whole: str = ""  # the name of the picture as a whole, where its things have no masks


class QuestionMaker:
    """Draws questions of pictures and of knowledge entries."""

    def __init__(
        self, entries: Mapping[str, Entry], absent: Sequence[str], random: np.random.Generator
    ) -> None:
        """`entries` by the name of the thing they are about; `absent`: names to ask for in vain."""
        self._entries, self._absent, self._random = entries, tuple(absent), random

    def of_picture(self, picture: Picture, per_thing: int = 2) -> Iterator[Sample]:
        """Every kind of question of one picture, a few of each."""
        for number, thing in enumerate(picture.things):
            yield from self._of_thing(picture, number, thing, per_thing)
        if picture.things:
            yield self._absence(picture)
            yield self._listing(picture)
            yield self._personal(picture)
        elif picture.whole:
            yield from self._of_whole(picture, per_thing)

    def of_entry(self, entry: Entry, picture: Picture) -> Iterator[Sample]:
        """A question of fact that has nothing to do with the picture."""
        facts = list(facts_of(entry, of_thing=False))
        plain = not facts or self._random.random() < WHAT_IS
        fact = what_is(entry) if plain else facts[self._draw(len(facts))]
        name = entry.title.split(" (")[0]
        question = worded(fact.question, name)
        yield self._sample(picture, "fact", question, fact.sentence, title=entry.title)

    def _of_thing(
        self, picture: Picture, number: int, thing: NamedMask, count: int
    ) -> Iterator[Sample]:
        point = point_inside(thing.mask, self._random)
        named = with_article(thing.name)
        alone = [other.name for other in picture.things].count(thing.name) == 1
        entry = self._entries.get(thing.name)
        title = entry.title if entry else ""
        what = f"This is [{named}|{number}]."
        yield self._sample(
            picture, "name", self._pick(IDENTIFY), what, number, point, title or thing.name
        )
        if alone:
            place = _where(thing.mask)
            question = self._pick(WHERE).format(name=thing.name)
            yield self._sample(
                picture, "where", question, f"The [{thing.name}|{number}] is {place}."
            )
            question = self._pick(PRESENT).format(a_name=named)
            yield self._sample(
                picture, "present", question, f"Yes, I see [{named}|{number}] {place}."
            )
        else:
            yield from self._counting(picture, number, thing.name)
        if entry is not None:
            yield from self._facts(picture, number, point, entry, count)

    def _facts(
        self, picture: Picture, number: int | None, point: Point | None, entry: Entry, count: int
    ) -> Iterator[Sample]:
        facts: Sequence[Fact] = list(facts_of(entry))
        for place in self._random.permutation(len(facts))[:count]:
            fact = facts[int(place)]
            question = worded(fact.question, self._pick(("it", "this", "this thing")))
            pointed = point if self._random.random() < POINTING or number is None else None
            yield self._sample(
                picture, "fact", question, fact.sentence, number, pointed, entry.title
            )

    def _of_whole(self, picture: Picture, count: int) -> Iterator[Sample]:
        entry = self._entries.get(picture.whole)
        if entry is None:
            return
        answer = f"This is {with_article(picture.whole)}."
        yield self._sample(picture, "name", self._pick(IDENTIFY), answer, title=entry.title)
        yield from self._facts(picture, None, None, entry, count)

    def _counting(self, picture: Picture, number: int, name: str) -> Iterator[Sample]:
        same = [n for n, other in enumerate(picture.things) if other.name == name]
        if number != same[0] or len(same) > MAX_COUNTED:
            return
        places = [f"[{with_article(name)}|{n}] {_where(picture.things[n].mask)}" for n in same]
        many = name if name.endswith("s") else name + ("es" if name.endswith("ch") else "s")
        many = "people" if many == "persons" else many
        answer = f"I can tell {NUMBERS[len(same)]} apart: {', '.join(places)}."
        yield self._sample(picture, "count", self._pick(COUNT).format(names=many), answer)

    def _absence(self, picture: Picture) -> Sample:
        here = {thing.name for thing in picture.things}
        name = self._pick([name for name in self._absent if name not in here])
        question = self._pick((*PRESENT, WHERE[0])).format(name=name, a_name=with_article(name))
        return self._sample(picture, "absent", question, f"I don't see {with_article(name)}.")

    def _listing(self, picture: Picture) -> Sample:
        first = {thing.name: number for number, thing in reversed(list(enumerate(picture.things)))}
        parts = [f"[{with_article(name)}|{n}]" for name, n in list(first.items())[:4]]
        return self._sample(picture, "list", self._pick(LIST), f"I see {listed(parts)}.")

    def _personal(self, picture: Picture) -> Sample:
        name = picture.things[0].name
        question = self._pick(PERSONAL).format(name=name)
        return self._sample(picture, "personal", question, UNKNOWN)

    def _sample(
        self,
        picture: Picture,
        kind: str,
        question: str,
        answer: str,
        target: int | None = None,
        point: Point | None = None,
        title: str = "",
    ) -> Sample:
        name = f"{picture.image}#{kind}-{self._random.integers(1 << 48):012x}"
        return Sample(
            name, picture.image, picture.size, question, answer, picture.things, target, point,
            title,
        )  # fmt: skip

    def _pick(self, options: Sequence[str]) -> str:
        return options[self._draw(len(options))]

    def _draw(self, count: int) -> int:
        return int(self._random.integers(count))


def point_inside(mask: Rle, random: np.random.Generator) -> Point:
    """A place well inside, jittered as a hand is."""
    inside = decode_mask(mask)
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    rows, cols = np.nonzero(depth >= 0.6 * depth.max())
    place = int(random.integers(len(rows)))
    return int(cols[place]), int(rows[place])


def _where(mask: Rle) -> str:
    """Where a mask lies, in words."""
    height, width = mask.size
    return where_box(mask_box(decode_mask(mask)) or (0, 0, width, height), mask.size)
