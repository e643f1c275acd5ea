"""Questions as wearers ask them, of pictures whose things are known, and of knowledge entries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np

from reasoning.data.annotator import AnnotatedPicture, QuestionSample
from reasoning.data.wordings import Fact, Wordings, fold, worded
from reasoning.rules.parsing import with_article
from retrieval.sources.entries import Entry
from stream.geometry import Point, Rle, decode_mask

Kind = Literal[
    "fact", "untold", "name", "where", "present", "absent", "count", "list", "colour", "state",
    "personal", "talk", "world",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
# How often each is asked of a picture, where it can be.
SHARES: Mapping[Kind, float] = {
    "fact": 0.3, "untold": 0.05, "name": 0.14, "where": 0.09, "present": 0.06, "absent": 0.04,
    "count": 0.04, "list": 0.09, "colour": 0.03, "state": 0.02, "personal": 0.08, "talk": 0.03,
    "world": 0.2,
}  # fmt: skip
FOLLOWED = 0.3  # share of the questions of a thing that another one follows
WHAT_IS = 0.2  # of the questions of the world that ask what something is
POINTING = ("it", "it", "this", "this", "that", "this thing", "the {name}", "the {name}")
UNPOINTED = 0.25  # share of the questions about "it" that come without a point


@dataclass(frozen=True, slots=True, eq=False)
class WearerQuestion:
    """A question and what is known of its answer."""

    kind: Kind
    sample: QuestionSample
    fact: Fact | None = None
    follows: "WearerQuestion | None" = None  # asked after it, in the same conversation


class Wearer:
    """Draws questions."""

    def __init__(
        self,
        wordings: Wordings,
        entries: Mapping[str, Entry],
        world: Sequence[Entry],
        absent: Sequence[str],
        random: np.random.Generator,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """`entries` by the name of the thing they are about; `world`: all of them.

        `absent`: names to ask for in vain; `without`: questions (folded) never to ask.
        """
        self._wordings, self._entries, self._world = wordings, entries, world
        self._absent, self._random, self._without = tuple(absent), random, without
        self._facts: dict[tuple[str, bool], list[Fact]] = {}

    def questions(self, picture: AnnotatedPicture, count: int) -> Iterator[WearerQuestion]:
        """Some questions of a picture, each of a drawn kind."""
        kinds = self._random.choice(KINDS, count, p=self._shares())
        for kind in kinds:
            asked = self._ask(str(kind), picture)
            if asked is not None and self._allowed(asked):
                yield asked

    def _ask(self, kind: str, picture: AnnotatedPicture) -> WearerQuestion | None:
        if kind == "world":
            return self._of_world(picture)
        if kind == "talk":
            return self._made("talk", picture, self._pick(self._wordings.others["talk"]))
        number = self._draw(len(picture.things)) if picture.things else None
        name = picture.things[number].name if number is not None else picture.whole
        if not name:
            return self._of_world(picture)
        if kind in ("fact", "untold"):
            return self._of_thing(kind, picture, number, name)
        if kind in ("name", "personal") or not picture.things:
            return self._of_looks("name" if kind != "personal" else kind, picture, number, name)
        assert number is not None
        return self._of_scene(kind, picture, number, name)

    def _of_thing(
        self, kind: str, picture: AnnotatedPicture, number: int | None, name: str
    ) -> WearerQuestion | None:
        """A fact about a thing in view, or one that its entry does not tell."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        it = self._pick(POINTING).format(name=name)
        pointed = it != f"the {name}" and self._random.random() >= UNPOINTED
        point = self._point(picture, number) if pointed else None
        if kind == "untold":
            question = worded(self._pick(self._wordings.untold(entry)), it)
            return self._made("untold", picture, question, number, point, entry.title)
        facts = self._facts_of(entry, True)
        if not facts:
            return None
        fact = facts[self._draw(len(facts))]
        asked = self._made("fact", picture, worded(fact.question, it), number, point, entry.title)
        asked = replace(asked, fact=fact)
        follow = self._follow(picture, facts, number, entry)
        return replace(asked, follows=follow)

    def _follow(
        self, picture: AnnotatedPicture, facts: Sequence[Fact], number: int | None, entry: Entry
    ) -> WearerQuestion | None:
        if self._random.random() >= FOLLOWED:
            return None
        fact = facts[self._draw(len(facts))]
        whole = worded(fact.question, "it")
        rest = whole[0].lower() + whole[1:]
        question = self._pick(self._wordings.others["follow"]).format(whole=whole, rest=rest)
        asked = self._made("fact", picture, question, number, None, entry.title)
        return replace(asked, fact=fact) if self._allowed(asked) else None

    def _of_looks(
        self, kind: str, picture: AnnotatedPicture, number: int | None, name: str
    ) -> WearerQuestion | None:
        table = "identify" if kind == "name" else kind
        question = self._pick(self._wordings.others[table]).format(name=name)
        point = self._point(picture, number)
        if kind == "personal":
            point = point if self._random.random() < 0.5 else None
            return self._made("personal", picture, question, number, point)
        entry = self._entries.get(name)
        title = entry.title if entry else ""
        asked = self._made("name", picture, question, number, point, title)
        facts = self._facts_of(entry, True) if entry else []
        follows = self._follow(picture, facts, number, entry) if facts and entry else None
        return replace(asked, follows=follows)

    def _of_scene(
        self, kind: str, picture: AnnotatedPicture, number: int, name: str
    ) -> WearerQuestion | None:
        names = [thing.name for thing in picture.things]
        if kind == "absent":
            name = self._pick([other for other in self._absent if other not in names])
            kind_of = "present" if self._random.random() < 0.6 else "where"
            question = self._fill(kind_of, name)
            return self._made("absent", picture, question, None, None, name)
        if kind in ("where", "colour", "state") and names.count(name) > 1:
            kind = "count"
        question = self._fill(kind, name)
        made: Kind = next(one for one in KINDS if one == kind)
        return self._made(made, picture, question, number)

    def _of_world(self, picture: AnnotatedPicture) -> WearerQuestion | None:
        """A question of fact that has nothing to do with the picture."""
        known = list(self._entries.values())
        pool = known if known and self._random.random() < 0.25 else self._world
        entry = pool[self._draw(len(pool))]
        name = entry.title.split(" (")[0]
        facts = self._facts_of(entry, False)
        if not facts or self._random.random() < WHAT_IS:
            question = worded(self._pick(self._wordings.others["what_is"]), name)
            fact = Fact(question, entry.passages[0], entry.title)
        else:
            fact = facts[self._draw(len(facts))]
            question = worded(fact.question, name)
        return replace(self._made("world", picture, question, title=entry.title), fact=fact)

    def _facts_of(self, entry: Entry, thing: bool) -> list[Fact]:
        key = (entry.id, thing)
        if key not in self._facts:
            self._facts[key] = list(self._wordings.of_entry(entry, thing))
        return self._facts[key]

    def _fill(self, kind: str, name: str) -> str:
        many = name if name.endswith("s") else name + ("es" if name.endswith("ch") else "s")
        many = "people" if many == "persons" else many
        template = self._pick(self._wordings.others[kind])
        return template.format(name=name, a_name=with_article(name), names=many)

    def _made(
        self,
        kind: Kind,
        picture: AnnotatedPicture,
        question: str,
        target: int | None = None,
        point: Point | None = None,
        title: str = "",
    ) -> WearerQuestion:
        name = f"{picture.image}#{kind}-{self._random.integers(1 << 48):012x}"
        sample = QuestionSample(
            name, picture.image, picture.size, question, "", picture.things, target, point, title
        )
        return WearerQuestion(kind, sample)

    def _allowed(self, asked: WearerQuestion) -> bool:
        return fold(asked.sample.question) not in self._without

    def _point(self, picture: AnnotatedPicture, number: int | None) -> Point | None:
        if number is None:
            return None
        return point_inside(picture.things[number].mask, self._random)

    def _shares(self) -> list[float]:
        total = sum(SHARES.values())
        return [SHARES[kind] / total for kind in KINDS]

    def _pick(self, options: Sequence[str]) -> str:
        return options[self._draw(len(options))]

    def _draw(self, count: int) -> int:
        return int(self._random.integers(count))


def known_answer(asked: WearerQuestion) -> QuestionSample | None:
    """A question with its answer, where that is known: a fact, or a thing's name."""
    sample = asked.sample
    if asked.fact is not None:
        return replace(sample, answer=asked.fact.sentence)
    if asked.kind != "name":
        return None
    if sample.target is None:
        return replace(sample, answer=f"This is {with_article(sample.title.split(' (')[0])}.")
    name = with_article(sample.things[sample.target].name)
    return replace(sample, answer=f"This is [{name}|{sample.target}].")


def point_inside(mask: Rle, random: np.random.Generator) -> Point:
    """A place well inside, jittered as a hand is."""
    inside = decode_mask(mask)
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    rows, cols = np.nonzero(depth >= 0.6 * depth.max())
    place = int(random.integers(len(rows)))
    return int(cols[place]), int(rows[place])
