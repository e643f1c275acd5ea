"""What words tell about a turn: is it finished, is it for us, and which words are certain."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from devices.listening.endpointing import Hint

MIN_LIKENESS = 0.75  # of a heard wake phrase to the real one, 0..1
LEAD_IN = 3  # words that may come before a wake phrase ("um, hey …")

_WORD = re.compile(r"[\w']+")
# Nothing ends with one of these; whisper writes a full stop after them all the same.
_OPEN = frozenset(
    re.findall(
        r"\S+", "a an the and or but because if my your our their um uh erm hmm er ah i'm you're"
    )
)
# "Which country does it come from" is whole without its question mark, "Tell me about" is not.
_PREPOSITIONS = frozenset(("of", "for", "from", "to", "with", "about", "in", "on", "at", "like"))
_QUESTION = frozenset(("what", "which", "where", "who", "when", "why", "how"))
# A question may end with one of these ("What is that?", "Where is it from?"), a statement not.
_OPEN_STATED = frozenset(
    re.findall(
        r"\S+",
        "of for from to with without into onto between about than as is are was were be am so when "
        "while which who that's it's there's in on at by what how where why does do did can could "
        "would his her its that",
    )
)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return _WORD.findall(text.lower().replace("’", "'"))


def ending(text: str) -> Hint:
    """Whether words look like a whole sentence, like a part of one, or leave it open."""
    spoken = words(text)
    if not spoken:
        return "unknown"
    last, stripped = spoken[-1], text.rstrip("\"”’' ")
    if stripped.endswith(("...", "…", "-", "–", "—", ",")):
        return "unfinished"
    asked = stripped.endswith("?")
    if spoken[0] in _QUESTION and last in _PREPOSITIONS:
        return "finished" if asked else "unknown"
    if last in _OPEN or (last in _OPEN_STATED and not asked):
        return "unfinished"
    if asked or (stripped.endswith((".", "!")) and len(spoken) > 1):
        return "finished"
    return "unknown"


def after_wake_phrase(text: str, phrase: str) -> str | None:
    """What follows the wake phrase near the beginning of `text`; None when it is not there.

    Fuzzy, because a made-up name is heard in many ways: the letters of the words in question must
    match those of the phrase by 75 % (Ratcliff/Obershelp).
    """
    wanted = "".join(words(phrase))
    found = list(_WORD.finditer(text))
    size = len(words(phrase))
    best, rest = 0.0, None
    for start in range(min(LEAD_IN + 1, len(found))):
        for count in range(max(1, size - 1), size + 2):
            heard = found[start : start + count]
            letters = "".join(words(" ".join(match.group() for match in heard)))
            likeness = SequenceMatcher(None, letters, wanted, autojunk=False).ratio()
            if likeness >= MIN_LIKENESS and likeness > best:
                best, rest = likeness, text[heard[-1].end() :].lstrip(" ,.!?;:–—-")
    return rest


@dataclass(frozen=True, slots=True)
class LocalAgreement:
    """Words that two hypotheses in a row share (with n = 2; arXiv 2307.14743)."""

    stable: tuple[str, ...] = ()  # never taken back
    last: tuple[str, ...] = ()  # the latest hypothesis

    def step(self, text: str) -> "LocalAgreement":
        """Take the next hypothesis of the same, longer sound."""
        heard = tuple(text.split())
        same = _common(self.last, heard)
        stable = heard[:same] if same > len(self.stable) else self.stable
        return LocalAgreement(stable, heard)

    @property
    def text(self) -> str:
        """What is certain."""
        return " ".join(self.stable)


def _common(before: Sequence[str], now: Sequence[str]) -> int:
    """How many words from the beginning agree, punctuation and case aside."""
    count = 0
    for one, other in zip(before, now, strict=False):
        if words(one) != words(other):
            break
        count += 1
    return count
