"""What the composed baseline says for each action: generators of words, mentions and calls.

A script reads `turn.evidence` after it has yielded a call. It says only what sight or evidence
supports, cites the evidence, and says that it does not know where neither does.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from perception.naming import Name
from perception.scene import GroundedRegion, Scene, where
from reasoning.listing import Named, things_in_view
from reasoning.lmm import Prompt
from reasoning.phrases import answer_type, listed, named_thing, pointed_noun, resolve, with_article
from reasoning.policy import Action, PolicyConfig
from reasoning.support import Support, SupportScorer
from reasoning.tokens import IMAGE, REGION, neutralise
from stream.errors import PromptError
from stream.events import Evidence

SURE, LIKELY = 0.75, 0.45  # name probability for "is" and "looks like"
KNOWN = 0.32  # score from which region evidence names a thing
CLEAR = 0.03  # by which it must lead the next entry, or the names in view must agree
MAX_READ = 6  # lines
DONT_KNOW = "I don't know"


@dataclass(frozen=True, slots=True, eq=False)
class Say:
    """Words of the answer; with a region they mention it."""

    text: str
    region: GroundedRegion | None = None


@dataclass(frozen=True, slots=True)
class CallFor:
    """A search call with its payload."""

    payload: str


Piece = Say | CallFor


class TurnState(Protocol):
    """What scripts read and write of an answer."""

    prompt: Prompt
    evidence: Sequence[Evidence]
    focus: GroundedRegion | None
    subject: str
    may_search: bool  # whether another call will be run


Script = Callable[[TurnState, str], Iterator[Piece]]


class Scripts:
    """One script per action."""

    def __init__(
        self, scene: Scene, support: SupportScorer, policy: PolicyConfig | None = None
    ) -> None:
        self._scene, self._support = scene, support
        self._policy = policy or PolicyConfig()

    def play(self, action: Action, turn: TurnState, question: str) -> Iterator[Piece]:
        """The script of an action; nobody is named by their looks."""
        if action in ("name", "look_up_thing") and answer_type(question) == "who":
            return iter((Say(f"{DONT_KNOW} who that is: I name things, not people."),))
        table: dict[Action, Script] = {
            "name": self._name,
            "list": self._list,
            "find": self._find,
            "read": self._read,
            "check": self._check,
            "count": self._count,
            "look_up_thing": self._look_up_thing,
            "learn_thing": self._learn_thing,
            "ask_text": self._ask_text,
            "give_up": self._give_up,
        }
        return table[action](turn, question)

    def _name(self, turn: TurnState, question: str) -> Iterator[Piece]:
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        yield Say("This is" if focus.score >= SURE else "This looks like")
        yield Say(f" {with_article(focus.names[0].label)}", focus)
        yield Say(".")

    def _list(self, turn: TurnState, question: str) -> Iterator[Piece]:
        view = turn.prompt.view
        sure, maybe = things_in_view(self._scene, view, turn.focus)
        if not sure and not maybe:
            count = len(view.things)
            yield Say(f"I see {count or 'no'} things that stand out, none that I can name.")
            return
        if sure:
            yield Say("I see")
            yield from _enumerate(sure, view.frame.size)
        if maybe:
            yield Say("; there may be" if sure else "I am not sure, but I may see")
            yield from _enumerate(maybe, view.frame.size)
        yield Say(".")

    def _find(self, turn: TurnState, question: str) -> Iterator[Piece]:
        phrase = named_thing(question)
        try:
            thing = self._scene.find(turn.prompt.view, phrase)
        except PromptError:
            yield Say(f"I don't see {with_article(phrase or 'such a thing')} in view.")
            return
        turn.subject = phrase
        yield Say("The")
        yield Say(f" {phrase}", thing)
        yield Say(f" is {where(thing, turn.prompt.view.frame.size)}.")

    def _read(self, turn: TurnState, question: str) -> Iterator[Piece]:
        lines = self._scene.read_text(turn.prompt.view)[:MAX_READ]
        if not lines:
            yield Say("I can't make out any words in view.")
            return
        words = neutralise(" ".join(line.text for line in lines))
        yield Say(f"It says: “{words}”.")

    def _check(self, turn: TurnState, question: str) -> Iterator[Piece]:
        phrase = named_thing(question)
        view = turn.prompt.view
        try:
            thing = self._scene.find(view, phrase)
        except PromptError:
            yield Say(f"I don't see {with_article(phrase or 'such a thing')}.")
            return
        turn.subject = phrase
        name = thing.names[0]
        # What fits the phrase may be named something else: a cat fits "dog" a little.
        named = phrase.split()[-1:] == name.label.lower().split()[-1:]
        sure = "Yes," if name.probability >= LIKELY else "Perhaps:"
        yield Say(sure if named else "I am not sure:")
        yield Say(" I see what looks like")
        yield Say(f" {with_article(name.label)}", thing)
        yield Say(f" {where(thing, view.frame.size)}.")

    def _count(self, turn: TurnState, question: str) -> Iterator[Piece]:
        phrase = named_thing(question)
        view = turn.prompt.view
        try:
            first = self._scene.find(view, phrase)
        except PromptError:
            yield Say(f"I don't see any {phrase or 'such things'}.")
            return
        label = first.names[0].label
        same = [t for t in view.things if t.names[0].label == label] or [first]
        yield Say(f"I can tell {len(same)} apart:")
        for number, thing in enumerate(same):
            yield Say(" " if number == 0 else ", ")
            yield Say(with_article(label), thing)
            yield Say(f" {where(thing, view.frame.size)}")
        yield Say(". There may be more that I cannot tell apart.")

    def _look_up_thing(self, turn: TurnState, question: str) -> Iterator[Piece]:
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        yield Say("The")
        yield Say(f" {pointed_noun(question) or 'thing'}", focus)
        yield Say(f" {where(focus, turn.prompt.view.frame.size)}")
        found = yield from self._identify(turn, focus)
        if found is not None:
            turn.subject = found.title
            yield Say(f" looks like {with_article(_common(found))}.{_cite(found)}")
            return
        options = [with_article(name.label) for name in focus.names[:2] if name.probability >= 0.15]
        if options:
            yield Say(f" may be {' or '.join(options)}, but I am not sure.")
        else:
            yield Say(f" is nothing I can name: {DONT_KNOW} what it is.")

    def _learn_thing(self, turn: TurnState, question: str) -> Iterator[Piece]:
        if turn.subject:
            asked = resolve(question, _plain(turn.subject))
            yield from self._look_up(turn, asked, turn.subject)
            return
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        sure = focus.score >= LIKELY
        name = focus.names[0].label if sure else pointed_noun(question) or "thing"
        yield Say("The")
        yield Say(f" {name}", focus)
        found = yield from self._identify(turn, focus)
        if found is None:
            yield Say(f" in view is nothing I can name surely, so {DONT_KNOW}.")
            return
        turn.subject, known = found.title, _common(found)
        if not sure or known not in name:
            yield Say(f" {'comes under' if sure else 'looks like'} {with_article(known)}")
        asked = resolve(question, _plain(found.title))
        # The passages found by looks were chosen for the question, out of the whole entry: words
        # find the same entry again (docs/log.md).
        told = self._support.rank(asked, (found,), _plain(found.title))
        if told and self._support.enough(told[0]):
            yield Say(_quoted(told[0], begun=True))
        elif self._policy.reword:
            yield from self._look_up(turn, asked, found.title, begun=True)
        else:
            yield Say(f", but {DONT_KNOW}: what I read about it does not say.")

    def _identify(
        self, turn: TurnState, focus: GroundedRegion
    ) -> Generator[Piece, None, Evidence | None]:
        """Search by looks: the entry of what is in focus, when one is clear."""
        whole = turn.prompt.view.whole
        payload = self._payload(focus.names[:1] == whole[:1])
        if payload is None or not turn.may_search:
            return None
        yield CallFor(payload)
        return _identified(turn.evidence, whole if payload == IMAGE else focus.names)

    def _payload(self, whole: bool) -> str | None:
        """The whole picture where nothing less is meant, else the region; None when neither may."""
        policy = self._policy
        if policy.search in ("image", "region"):
            return IMAGE if policy.search == "image" else REGION
        if policy.image and (whole or not policy.region):
            return IMAGE
        return REGION if policy.region else None

    def _ask_text(self, turn: TurnState, question: str) -> Iterator[Piece]:
        yield from self._look_up(turn, question, "")

    def _give_up(self, turn: TurnState, question: str) -> Iterator[Piece]:
        yield Say(f"{DONT_KNOW}: neither what I see nor what I can look up tells that.")

    def _look_up(
        self, turn: TurnState, query: str, subject: str, begun: bool = False
    ) -> Iterator[Piece]:
        """Search with words and say the sentence that answers, if one does.

        `begun`: the answer's first words stand already, and the sentence goes on from them.
        """
        evidence: Sequence[Evidence] = ()
        if turn.may_search and self._policy.text:
            yield CallFor(query)
            evidence = turn.evidence
        ranked = self._support.rank(query, evidence, _plain(subject))
        if ranked and self._support.enough(ranked[0]):
            turn.subject = turn.subject or ranked[0].evidence.title
            yield Say(_quoted(ranked[0], begun))
            return
        about = [neutralise(entry.title) for entry in evidence[:2]]
        looked = f" I looked under {listed(about)}, which does not say." if about else ""
        yield Say(f"{', but ' if begun else ''}{DONT_KNOW}.{looked}")


def _enumerate(things: Named, size: tuple[int, int]) -> Iterator[Piece]:
    for number, (label, thing) in enumerate(things.items()):
        last = number == len(things) - 1
        yield Say(" " if number == 0 else " and " if last else ", ")
        yield Say(with_article(label), thing)
        yield Say(f" {where(thing, size)}")


def _identified(evidence: Sequence[Evidence], names: Sequence[Name]) -> Evidence | None:
    """The entry that names what was searched for: high enough, and clear or agreed on."""
    if not evidence or evidence[0].score < KNOWN:
        return None
    lead = evidence[0].score - evidence[1].score if len(evidence) > 1 else 1.0
    title = _plain(evidence[0].title)
    agreed = any(title in name.label.lower() or name.label.lower() in title for name in names)
    return evidence[0] if agreed or lead >= CLEAR else None


def _quoted(support: Support, begun: bool) -> str:
    """The sentence with its source; a pronoun at its start is joined to what it stands for."""
    sentence, cited = neutralise(support.sentence), _cite(support.evidence)
    for pronoun in ("It ", "They "):
        if sentence.startswith(pronoun):
            start = ": " if begun else f"{neutralise(support.evidence.title)}: "
            return f"{start}{sentence[0].lower()}{sentence[1:]}{cited}"
    return f"{': ' if begun else ''}{sentence}{cited}"


def _cite(evidence: Evidence) -> str:
    return f" (Source: {neutralise(evidence.title)}.)"


def _common(evidence: Evidence) -> str:
    """The title as it is written inside a sentence: "Cat" is "cat", "Mona Lisa" stays."""
    title = _plain(evidence.title)
    return title if title in evidence.text else evidence.title


def _plain(title: str) -> str:
    """ "Orange (fruit)" -> "orange"."""
    return title.split(" (")[0].strip().lower()
