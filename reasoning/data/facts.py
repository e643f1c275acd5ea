"""Questions that sentences of a knowledge entry answer, found by their wording."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrieval.sentences import quote, search_words
from retrieval.sources.entries import Entry

MAX_ANSWER_WORDS = 30
MIN_ANSWER_WORDS = 4


@dataclass(frozen=True, slots=True)
class Fact:
    """A question about an entry and the sentence that answers it."""

    question: str  # with {it} where the thing's name or a pointing word goes
    sentence: str
    title: str


# A pattern of the sentence, and ways to ask for what it tells.
_PATTERNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"\b(?:native|endemic) to\b",
        (
            "Where is {it} native to?",
            "Where does {it} come from?",
            "What region is {it} native to?",
        ),
    ),
    (
        r"\b(?:inhabits?|(?:is|are) found (?:in|on|throughout)|lives? (?:in|on|almost))\b",
        ("Where does {it} live?", "Where can {it} be found?", "In which places is {it} found?"),
    ),
    (r"\boriginat\w* (?:in|from)\b", ("Where did {it} originate?", "Where is {it} from?")),
    (r"\bdomesticat\w* .*\b(?:ago|BCE?|centur)", ("When was {it} domesticated?",)),
    (
        r"\b(?:feeds?|diet|eats?|herbivor|carnivor|omnivor)\w*\b",
        ("What does {it} eat?", "What is the diet of {it}?", "What does {it} feed on?"),
    ),
    (
        r"\b(?:weigh\w*|mass)\b.*\d",
        ("How heavy is {it}?", "How much does {it} weigh?", "What is the weight of {it}?"),
    ),
    (
        r"\b(?:length|long|tall|height)\b.*\d+\s*(?:m|cm|mm|ft|in|km)\b",
        ("How long does {it} get?", "How big is {it}?", "What size is {it}?"),
    ),
    (r"\d.*\b(?:km/h|mph)\b", ("How fast is {it}?", "What speed does {it} reach?")),
    (r"\bclosest (?:living )?relative", ("What is {it} most closely related to?",)),
    (
        r"\b(?:family|genus|order) [A-Z]\w+",
        ("Which family or order does {it} belong to?", "How is {it} classified?"),
    ),
    (
        r"\b(?:\d[\d,]*|two|three|four|five|six|seven|eight|nine|ten|twelve)\b[\w -]* species\b",
        ("How many species of {it} are there?",),
    ),
    (
        r"\b(?:made|brewed|prepared|produced|constructed) (?:from|of|with)\b",
        ("What is {it} made of?", "What is {it} made from?"),
    ),
    (
        r"\b(?:used (?:to|for|as|in)|designed to|intended to)\b",
        ("What is {it} used for?", "What is the use of {it}?", "What does one do with {it}?"),
    ),
    (
        r"\binvented\b.*\b(?:1\d{3}|20\d\d|centur)",
        ("When was {it} invented?", "Who invented {it}?"),
    ),
    (r"\bconsist\w* of\b", ("What does {it} consist of?", "What are the parts of {it}?")),
    (r"\brich (?:in|source)\b", ("What is {it} rich in?",)),
    (r"\bhybrids?\b", ("What is {it} a hybrid of?",)),
    (r"\bplayed (?:by|with)\b", ("How is {it} played?",)),
    (
        r"\b(?:two|three|four|five|six|eight|ten|\d+)(?:-| or \w+-)?(?: \w+){0,3}? "
        r"(strings|keys|wheels|legs|valves|eyes|arms|teeth|humps)\b",
        ("How many {what} does {it} have?",),
    ),
    (r"\b(?:protect|defen[cs]e|deter)\w*\b", ("How does {it} protect itself or others?",)),
    (r"\b(?:lays?|laying)\b.*\beggs?\b|\bgives? birth\b", ("How does {it} have its young?",)),
)
_OTHER: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\bcapital\b.*\bis [A-Z]", ("What is the capital of {it}?",)),
    (r"\bborn\b.*\d{4}", ("When was {it} born?", "In which year was {it} born?")),
    (r"\bfounded\b.*\d{4}", ("When was {it} founded?", "In which year was {it} founded?")),
    (r"\b(?:written|painted|composed|directed|designed|built) by [A-Z]", ("Who made {it}?",)),
    (
        r"\bpopulation of\b.*\d",
        ("How many people live in {it}?", "What is the population of {it}?"),
    ),
    (r"\b(?:located|situated) (?:in|on)\b", ("Where is {it}?", "Where does {it} lie?")),
    (r"\bborders?\b.*\b[A-Z]", ("Which countries does {it} border?", "What does {it} border?")),
    (r"\b(?:best|widely|chiefly) known (?:for|as)\b", ("What is {it} known for?",)),
)
_THING = [(re.compile(pattern), questions) for pattern, questions in _PATTERNS]
_ANY = [*_THING, *((re.compile(pattern), questions) for pattern, questions in _OTHER)]


def facts_of(entry: Entry, of_thing: bool = True) -> Iterator[Fact]:
    """Question and answering sentence; those of a thing in view unless told otherwise.

    A sentence about something else in the entry ("Its relative, the okapi, …") is left out where
    the wording shows it: it must begin with the title or a pronoun.
    """
    for passage in entry.passages:
        sentence = brief(passage)
        if not sentence or not about(sentence, entry.title):
            continue
        for pattern, questions in _THING if of_thing else _ANY:
            match = pattern.search(sentence)
            what = match.group(1) if match and match.groups() else ""
            for question in questions if match else ():
                yield Fact(question.replace("{what}", what), sentence, entry.title)


def what_is(entry: Entry) -> Fact:
    """What the entry is, told by its first sentence."""
    return Fact("What is {it}?", quote(entry.passages[0], MAX_ANSWER_WORDS), entry.title)


def worded(question: str, it: str) -> str:
    """Put a name or a pointing word in."""
    text = question.replace("{it}", it)
    return text[0].upper() + text[1:]


def brief(passage: str) -> str:
    """A passage as an answer says it; empty where it says too little."""
    sentence = quote(passage, MAX_ANSWER_WORDS)
    return sentence if len(sentence.split()) >= MIN_ANSWER_WORDS else ""


def about(sentence: str, title: str) -> bool:
    """Whether a sentence begins with its entry's title or a pronoun."""
    start = search_words(" ".join(sentence.split()[:6]))
    words = set(search_words(title.split(" (")[0]))
    opening: Sequence[str] = ("It ", "They ", "He ", "She ")
    return bool(words & set(start)) or sentence.startswith(tuple(opening))
