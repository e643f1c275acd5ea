"""Acts in plain English: "picked up the red cup from the table" is picking up, of a cup.

Rules for the first person, narrations and captions of one act a clause, without a parser: subject,
verb, particle, object, and what comes after a preposition is not acted on. What is no such clause
("a kitchen with a fridge") holds no act.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from retrieval.memory.words.lexicon import Keys, Lexicon, lexicon, verb_lemma

MAX_CHARS = 2000  # of a text that is read for acts
MAX_ACTS = 64

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|[,;.!?]")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SUBJECTS = _set(
    "i you we he she they c it who someone somebody wearer person man woman camera user"
)
_AUXILIARIES = _set(
    "am is are was were be been being have has had having do does did will would can could shall "
    "should may might must i'm i've i'd i'll you're you've you'll we're we've he's she's they're"
)
_ADVERBS = _set(
    "then still again now also just first next finally already ever once twice always often "
    "please later before soon both all"
)
_NEGATIONS = _set("not never no don't didn't doesn't won't can't cannot couldn't haven't hasn't")
_ASPECTS = _set("continue start begin keep finish stop go try")
_PARTICLES = _set("on off up down out away back in over through")
_PLACES = _set("on in over through")  # before a thing they say where, and not what was done
_PREPOSITIONS = _set(
    "on off up down out away back in over through into onto from to at by with without for under "
    "above below behind beside between near around about after before until while when where "
    "against across along inside outside toward towards using so because as that which than if"
)
_DETERMINERS = _set(
    "a an the this that these those my your his her its our their some any few more most much "
    "many another other each every all both several one two three four five six seven eight nine "
    "ten last same whole extra"
)
_QUANTITIES = _set(
    "piece slice bit bunch handful pinch rest bottom top part side half lot drop couple end pair "
    "lump chunk layer"
)
_PARTS = _set("door lid handle")  # of a thing: its door is opened when it is
_LINKS = _set("and or &")
_BREAKS = _set(", ; . ! ? then while")


@dataclass(frozen=True, slots=True)
class SpokenThing:
    """What a thing may be called, and the words before its name ("wooden" of a spoon)."""

    keys: Keys
    modifiers: frozenset[str] = frozenset()

    def fits(self, asked: "SpokenThing") -> bool:
        """Whether this may be the thing that is asked for: "spoon" may be the wooden one."""
        if not self.keys & asked.keys:
            return False
        return not self.modifiers or asked.modifiers <= self.modifiers


@dataclass(frozen=True, slots=True)
class Act:
    """Something done, to one or several things."""

    verb: str  # lemma, with its particle where it has one
    keys: Keys
    things: tuple[SpokenThing, ...] = ()
    known: bool = False  # the verb is listed, so this was no noun that looked like one

    def fits(self, asked: "Act") -> bool:
        """Whether this is the act asked for, done to everything that is named there."""
        if not self.keys & asked.keys:
            return False
        return all(any(thing.fits(want) for thing in self.things) for want in asked.things)


def read_acts(text: str) -> tuple[Act, ...]:
    """The acts of a text, in order; at most `MAX_ACTS`, of its first `MAX_CHARS` characters."""
    return _read_acts(text[:MAX_CHARS])


# A record of ten hours is read once for all questions.
@lru_cache(maxsize=4096)
def _read_acts(text: str) -> tuple[Act, ...]:
    words = lexicon()
    acts = (_read_clause(clause, words) for clause in _clauses(_tokens(text), words))
    return tuple(islice((act for act in acts if act is not None), MAX_ACTS))


@lru_cache(maxsize=4096)
def read_thing(name: str) -> SpokenThing | None:
    """The thing that a name stands for, None for one without words."""
    things, _ = _objects(_tokens(name), lexicon())
    return things[0] if things else None


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower().replace("’", "'").replace("-", " "))


def _clauses(tokens: Sequence[str], words: Lexicon) -> Iterator[list[str]]:
    """Cut at stops, and at "and" where a listed verb with something after it follows."""
    clause: list[str] = []
    for at, token in enumerate(tokens):
        if token in _BREAKS or (token in _LINKS and _verb_follows(tokens[at + 1 :], words)):
            yield clause
            clause = []
        else:
            clause.append(token)
    yield clause


def _verb_follows(tokens: Sequence[str], words: Lexicon) -> bool:
    rest = _after_subject(tokens)
    return (
        rest is not None
        and len(rest) > 1
        and words.knows_act(rest[0])
        and (rest[1] not in _PREPOSITIONS | _BREAKS | _LINKS or words.knows_act(*rest[:2]))
    )


def _after_subject(tokens: Sequence[str]) -> Sequence[str] | None:
    """From the verb on; None where the clause says that something was not done, or has no verb."""
    at = 0
    if len(tokens) > 1 and tokens[0] in _DETERMINERS and tokens[1] in _SUBJECTS:
        at = 2
    while at < len(tokens):
        token = tokens[at]
        if token in _NEGATIONS:
            return None
        aspect = verb_lemma(token) in _ASPECTS and at + 1 < len(tokens)
        if aspect and tokens[at + 1] == "to":
            at += 2
        elif (
            token in _SUBJECTS | _AUXILIARIES | _ADVERBS
            or token.endswith("ly")
            or (aspect and tokens[at + 1].endswith("ing"))
        ):
            at += 1
        else:
            return None if token in _DETERMINERS | _PREPOSITIONS else tokens[at:]
    return None


def _read_clause(clause: Sequence[str], words: Lexicon) -> Act | None:
    rest = _after_subject(clause)
    if not rest or not rest[0][0].isalpha():
        return None
    verb, at, particle = rest[0], 1, ""
    if len(rest) > 1 and (rest[1] in _PARTICLES or words.knows_act(verb, rest[1])):
        particle, at = rest[1], 2
    things, used = _objects(rest[at:], words)
    at += used
    if things and _is_particle(rest[at : at + 2]) and words.knows_act(verb, rest[at]):
        particle = rest[at]
    if not things:
        # "sat on the sofa": what the preposition is about is all that there is.
        while at < len(rest) and rest[at] in _PREPOSITIONS:
            at += 1
        things, _ = _objects(rest[at:], words)
    listed = bool(particle) and words.knows_act(verb, particle)
    lemma = verb_lemma(verb)
    return Act(
        f"{lemma} {particle}" if listed else lemma,
        words.act_keys(verb, particle) | _of_valves(lemma, things, words),
        things,
        listed or words.knows_act(verb),
    )


def _of_valves(lemma: str, things: Sequence[SpokenThing], words: Lexicon) -> Keys:
    """To open a tap is to turn it on."""
    if lemma not in ("open", "close", "shut") or not any(one.keys & words.valves for one in things):
        return frozenset()
    return words.act_keys("turn", "on" if lemma == "open" else "off")


def _is_particle(after: Sequence[str]) -> bool:
    # "turn the tap on", "take the knife out of the drawer", but not "put it on the table".
    return bool(after) and (after[0] not in _PLACES or len(after) == 1 or after[1] in _PREPOSITIONS)


def _objects(tokens: Sequence[str], words: Lexicon) -> tuple[tuple[SpokenThing, ...], int]:
    """The things that are named before the first preposition, and how many tokens that took."""
    end = next((at for at, token in enumerate(tokens) if token in _PREPOSITIONS), len(tokens))
    names: list[list[str]] = [[]]
    for token in tokens[:end]:
        if token in _LINKS or token in _BREAKS:
            names.append([])
        elif token not in _DETERMINERS | _ADVERBS and not token.endswith("ly"):
            names[-1].append(token.removesuffix("'s"))
    return tuple(_thing(name, words) for name in names if name), end


def _thing(name: list[str], words: Lexicon) -> SpokenThing:
    if "of" in name[1:-1]:
        cut = name.index("of", 1)
        left, right = name[:cut], name[cut + 1 :]
        name = right if left[-1].removesuffix("s") in _QUANTITIES else [*right, *left]
    keys, rest = words.thing_keys(name)
    if rest and name[-1] in _PARTS:
        whole, rest = words.thing_keys(rest)
        keys |= whole
    return SpokenThing(keys, frozenset(rest))
