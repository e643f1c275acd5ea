"""What wearers ask, in many wordings: read from reasoning/data/wordings.yaml."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from retrieval.sources.entries import Entry
from retrieval.sources.sentences import quote, search_words

WORDINGS = Path(__file__).resolve().parent / "wordings.yaml"
MAX_ANSWER_WORDS = 30
MIN_ANSWER_WORDS = 4


@dataclass(frozen=True, slots=True)
class Fact:
    """A question about an entry and the sentence that answers it."""

    question: str  # with {it} where the thing's name or a pointing word goes
    sentence: str
    title: str


@dataclass(frozen=True, slots=True)
class FactWording:
    """A pattern of a sentence and ways to ask for what such a sentence tells."""

    sentence: re.Pattern[str]
    ask: tuple[str, ...]  # with {it}, and {what} for the pattern's group
    thing: bool  # may be asked of a thing in view


@dataclass(frozen=True, slots=True)
class Wordings:
    """All of the file."""

    facts: tuple[FactWording, ...]
    others: Mapping[str, tuple[str, ...]]  # identify, where, present … -> templates

    def of_entry(self, entry: Entry, thing: bool) -> Iterator[Fact]:
        """Every way to ask for what a sentence of an entry tells, with {it} left open.

        A sentence about something else in the entry is left out where its wording shows it.
        """
        for passage in entry.passages:
            sentence = brief(passage)
            if not sentence or not about(sentence, entry.title):
                continue
            for wording in self.facts:
                if thing and not wording.thing:
                    continue
                match = wording.sentence.search(sentence)
                what = match.group(1) if match and match.groups() else ""
                for question in wording.ask if match else ():
                    yield Fact(question.replace("{what}", what or ""), sentence, entry.title)

    def untold(self, entry: Entry) -> list[str]:
        """Questions of a thing that no sentence of its entry seems to answer."""
        whole = " ".join(entry.passages)
        return [
            question
            for wording in self.facts
            if wording.thing and not wording.sentence.search(whole)
            for question in wording.ask
            if "{what}" not in question
        ]


@lru_cache(maxsize=2)
def read_wordings(path: Path = WORDINGS) -> Wordings:
    """The wordings of a file."""
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    facts = tuple(
        FactWording(re.compile(row["sentence"]), tuple(row["ask"]), row.get("thing", True))
        for row in table.pop("facts")
    )
    return Wordings(facts, {name: tuple(lines) for name, lines in table.items()})


def excluded(paths: Sequence[Path]) -> tuple[frozenset[str], frozenset[str]]:
    """Questions (folded) and pictures (file stems) that YAML files of a benchmark ask about."""
    questions: set[str] = set()
    views: set[str] = set()
    for path in paths:
        for rows in yaml.safe_load(path.read_text(encoding="utf-8")).values():
            # Others are notes, by name, that the questions are about, or questions as plain text.
            told = ({"question": row} if isinstance(row, str) else row for row in rows)
            for row in told if isinstance(rows, list) else ():
                questions |= {fold(text) for text in (row["question"], *row.get("after", ()))}
                views |= {Path(row["view"]).stem} if "view" in row else set()
    return frozenset(questions), frozenset(views)


def fold(question: str) -> str:
    """The words of a question alone, to compare two."""
    return " ".join(re.findall(r"\w+", question.lower()))


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
    return bool(words & set(start)) or sentence.startswith(("It ", "They ", "He ", "She "))
