"""Sentences of evidence as they are said: short, joined to what stands before, yes or no first."""

import re

from reasoning.generation.tokens import neutralise
from reasoning.rules.parsing import plural
from reasoning.verification.rerank import Support
from reasoning.verification.yes_no import yes_or_no
from retrieval.sources.sentences import search_words
from stream.events import Evidence

# Conversions, pronunciations and other scripts: nothing that is said aloud.
CITED = "(Source: "
_PRONOUN = re.compile(r"\b(?:it|its|they|their|he|she|his|her)\b", re.IGNORECASE)
_BRACKETED = re.compile(r"\s*\((?P<inside>[^()]*)\)")
_UNSAID = re.compile(
    r"^\s*(?:[\d.,–\-−+⁄/ ]+\s*(?:ft|in|mi|lb|lbs|oz|°?[CF]|km2?|kg|m|cm|mm|sq\s+\w+|acres?|mph|"
    r"km/h|US\s+\w+)\b.*|.*[/ˈə].*|[^A-Za-z0-9]*|.*\b(?:pronounced|romanized|lit\.|IPA|born)\b.*)$"
)


def quoted(support: Support, question: str, lead: str = "", joined: bool = True) -> str:
    """The sentence with its source.

    `lead` names what the answer's first words are, when they stand already: the sentence goes on
    from them. With `joined` off a verb stands there too. What a single unvetted page tells is given
    as its words, and decides no yes or no.
    """
    sentence, cited = said(neutralise(support.sentence)), cite(support.evidence)
    if support.evidence.alone:
        return f"{': one' if lead else 'One'} page says: “{sentence}”{cited}"
    agrees = yes_or_no(question, support.sentence, support.evidence.title)
    first = "" if agrees is None else "Yes: " if agrees else "No: "
    if sentence.startswith(("It ", "They ")):
        rest = sentence[sentence.index(" ") :]
        alone = sentence.startswith("It ")
        if not lead:
            begun = _subject(support.evidence, bool(first)) if alone else _titled(support.evidence)
            return f"{first}{begun}{rest}{cited}"
        if alone and joined and not first and not plural(lead):
            return f"{rest}{cited}"
        sentence = f"{sentence[0].lower()}{sentence[1:]}"
    elif first:
        sentence = _begin(sentence)
    elif lead and joined and (rest := _without(sentence, lead)):
        return f"{rest}{cited}"
    if lead:
        return f": {first.lower()}{sentence}{cited}"
    if _PRONOUN.search(sentence) and not _names(support.evidence.title, sentence):
        sentence = f"{neutralise(support.evidence.title)}: {sentence}"
    return f"{first}{sentence}{cited}"


def _names(title: str, sentence: str) -> bool:
    """Whether a sentence says whom or what it is about."""
    return bool(set(search_words(title)) & set(search_words(sentence)))


def speaks_of(evidence: Evidence, name: str) -> bool:
    """Whether an entry may be about what goes by a name: the name's last word occurs in it."""
    head = search_words(name)[-1:]
    return set(head) <= set(search_words(f"{evidence.title} {evidence.text}"))


def said(sentence: str) -> str:
    """Without the brackets that only a reader needs."""

    def keep(match: re.Match[str]) -> str:
        return "" if _UNSAID.match(match.group("inside")) else match.group()

    return _BRACKETED.sub(keep, sentence)


def cite(evidence: Evidence) -> str:
    """Where it was read."""
    own = "your notes, " if evidence.tier == "own" else ""
    return f" {CITED}{own}{neutralise(evidence.title)}.)"


def common(evidence: Evidence) -> str:
    """The title as it is written inside a sentence: "Cat" is "cat", "Mona Lisa" stays."""
    title = plain(evidence.title)
    return title if title in evidence.text else evidence.title


def plain(title: str) -> str:
    """ "Orange (fruit)" -> "orange"."""
    return title.split(" (")[0].strip().lower()


def _subject(evidence: Evidence, inside: bool) -> str:
    """The name in the place of "It": "The cat", "Nairobi"."""
    name = neutralise(common(evidence))
    if name[:1].isupper() or plural(name):
        return name if inside or not name else f"{name[0].upper()}{name[1:]}"
    return f"{'the' if inside else 'The'} {name}"


def _without(sentence: str, lead: str) -> str:
    """What a sentence says of the thing that it begins with; empty where it begins otherwise."""
    begun = re.match(rf"(?:(?:the|an?)\s+)?{re.escape(lead)}(?=[\s,])", sentence, re.IGNORECASE)
    return sentence[begun.end() :] if begun else ""


def _titled(evidence: Evidence) -> str:
    return f"{neutralise(evidence.title)}: they"


def _begin(sentence: str) -> str:
    """The sentence behind "Yes:"; a common first word loses its capital."""
    first = sentence.split(" ", 1)[0]
    return (
        f"{first.lower()}{sentence[len(first) :]}"
        if first in ("The", "A", "An", "This")
        else sentence
    )
