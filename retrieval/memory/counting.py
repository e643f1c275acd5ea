"""How often, when first and when last something was done, over episodes and not over events.

One opening of a fridge may be several events, and one event may tell of it twice: what fits the
question and lies within `MERGE_GAP_NS` of the one before is one episode. Where the record does not
tell of acts at all (it has what was seen, and no description of what was done), the answer says so
and counts the moments in which the thing was seen.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from retrieval.memory.events import Event, Sight
from retrieval.memory.words.acts import MAX_CHARS, Act, SpokenThing, read_acts, read_thing
from retrieval.memory.words.lexicon import Keys, lexicon
from stream.clock import NS_PER_S

MERGE_GAP_NS = 10 * NS_PER_S  # between two that are one episode
MIN_TOLD = 0.05  # share of the events with text that must tell of acts, or none are recorded
MAX_QUESTION = 400  # characters

Asked = Literal["count", "first", "last"]

_FORMS: tuple[tuple[Asked, re.Pattern[str]], ...] = (
    ("count", re.compile(r"\bhow (?:many times|often) (?:did|have|had|has) (?:i|we|you) (.+)")),
    ("first", re.compile(r"\bwhen did (?:i|we) first (.+)")),
    ("first", re.compile(r"\bwhen was the first time (?:that )?(?:i|we) (.+)")),
    ("last", re.compile(r"\bwhen was the last time (?:that )?(?:i|we) (.+)")),
    ("last", re.compile(r"\bwhen (?:did|have) (?:i|we) (?:last )?(.+)")),
    ("count", re.compile(r"\bnumber of times (?:that )?(?:i|we) (.+)")),
)
_TAIL = re.compile(
    r"[\s,]*(?:\b(?:so far|today|yesterday|tonight|lately|recently|already|in total|in all|"
    r"for the (?:last|first) time|last|this (?:morning|afternoon|evening|week|hour)|"
    r"(?:in|during|over) the (?:last|past) .+|since .+|(?:before|after) .+)\b)?[\s.?!]*$"
)
_SEEN = frozenset(("see", "notice", "spot"))


@dataclass(frozen=True, slots=True)
class CountQuestion:
    """An act (of a thing) and what is asked of it; `said` is the act in the question's words."""

    asked: Asked
    act: Act
    said: str


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of one session, and the ids of the events that it was merged from, in order."""

    session: str
    start_ns: int
    end_ns: int
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """What the record has of a question."""

    question: CountQuestion
    episodes: tuple[Episode, ...]  # of the act, in order
    seen: tuple[Episode, ...]  # moments in which the thing was in view or spoken of
    recorded: bool  # acts are told of in this record, so no episode means that it was not done

    @property
    def count(self) -> int:
        """How often it was done, as far as the record tells."""
        return len(self.episodes)

    @property
    def first(self) -> Episode | None:
        """None where there is none."""
        return self.episodes[0] if self.episodes else None

    @property
    def last(self) -> Episode | None:
        """None where there is none."""
        return self.episodes[-1] if self.episodes else None


def read_question(text: str) -> CountQuestion | None:
    """What "How many times did I open the fridge today?" asks for; None for another question.

    Words of time at the end are left out: what they say is a filter on the events.
    """
    plain = " ".join(text[:MAX_QUESTION].lower().replace("’", "'").split())
    for asked, form in _FORMS:
        found = form.search(plain)
        if found is None:
            continue
        said = _TAIL.sub("", found[1])
        acts = read_acts(said)
        return CountQuestion(asked, acts[0], said) if acts else None
    return None


def tally(
    question: CountQuestion,
    events: Sequence[Event],
    sights: Iterable[Sight] = (),
    gap_ns: int = MERGE_GAP_NS,
) -> Tally:
    """Count over the events that the question is about, in order of time (of any sessions).

    The act is looked for in `Event.text`; the thing also in sights of these events and in what was
    said. "How often did I see X" is counted from `seen`.
    """
    wanted = question.act.things
    done: list[Event] = []
    told = described = 0
    spans: list[tuple[Event, int, int]] = []
    named = _named_sights(sights, wanted)
    for event in events:
        acts = read_acts(event.text)
        described += bool(event.text.strip())
        told += any(act.known for act in acts)
        if any(act.fits(question.act) for act in acts):
            done.append(event)
        if event.id in named:
            spans += [(event, one.start_ns, one.end_ns) for one in named[event.id]]
        elif wanted and _mentions(event, acts, wanted):
            spans.append((event, event.start_ns, event.end_ns))
    seen = merge_episodes(spans, gap_ns)
    if question.act.verb in _SEEN:
        return Tally(question, seen, seen, True)
    episodes = merge_episodes([(event, event.start_ns, event.end_ns) for event in done], gap_ns)
    recorded = bool(done) or (told > 0 and told >= MIN_TOLD * described)
    return Tally(question, episodes, seen, recorded)


def merge_episodes(
    spans: Iterable[tuple[Event, int, int]], gap_ns: int = MERGE_GAP_NS
) -> tuple[Episode, ...]:
    """Join what overlaps or lies at most a gap apart in one session; sessions stay in order.

    A span is an event, and start and end in ns on its session's line.
    """
    by_session: dict[str, list[tuple[int, int, str]]] = {}
    for event, start_ns, end_ns in spans:
        by_session.setdefault(event.session, []).append((start_ns, end_ns, event.id))
    found: list[Episode] = []
    for session, rows in by_session.items():
        last: Episode | None = None
        for start_ns, end_ns, event_id in sorted(rows):
            if last is not None and start_ns - last.end_ns <= gap_ns:
                ids = last.events if event_id in last.events else (*last.events, event_id)
                last = Episode(session, last.start_ns, max(last.end_ns, end_ns), ids)
                found[-1] = last
            else:
                last = Episode(session, start_ns, end_ns, (event_id,))
                found.append(last)
    return tuple(found)


def _named_sights(sights: Iterable[Sight], wanted: Sequence[SpokenThing]) -> dict[str, list[Sight]]:
    found: dict[str, list[Sight]] = {}
    for sight in sights:
        thing = read_thing(sight.name)
        if thing is not None and any(thing.fits(want) for want in wanted):
            found.setdefault(sight.event, []).append(sight)
    return found


def _mentions(event: Event, acts: Sequence[Act], wanted: Sequence[SpokenThing]) -> bool:
    """Whether the thing is acted on, or one of its names is among the event's words."""
    if any(thing.fits(want) for act in acts for thing in act.things for want in wanted):
        return True
    keys, tokens = _named(event.text[:MAX_CHARS], event.said[:MAX_CHARS])
    return any(keys & want.keys and want.modifiers <= tokens for want in wanted)


@lru_cache(maxsize=4096)
def _named(text: str, said: str) -> tuple[Keys, frozenset[str]]:
    """Keys of all that may be a name in some words, and the words."""
    tokens = re.findall(r"[^\W\d_]+", f"{text} {said}".lower())
    ends = range(1, len(tokens) + 1)
    names = (lexicon().thing_keys(tokens[max(0, at - 3) : at])[0] for at in ends)
    return frozenset().union(*names), frozenset(tokens)
