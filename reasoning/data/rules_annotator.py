"""The rule-based annotator: knows the questions it is given by their wording.

It serves the embedded set, whose samples are made from knowledge entries and known masks (see
reasoning/data/picture_questions.py), so that nothing has to be guessed: where a sample names its
entry, that entry's sentence is the answer.
"""

import re
import zlib
from collections.abc import Callable, Sequence

from reasoning.data.annotator import MARK, QuestionType, Sample, SubQuestion
from reasoning.rules.parsing import pointed_noun, points, resolve, with_article
from stream.events import QueryKind

_COUNT = re.compile(r"^how many\b.*\b(?:do you see|are (?:there|here)|can you see)\b", re.I)
_BINARY = re.compile(r"^(?:is|are|do|does|can|has|have)\b", re.I)
_READ = re.compile(r"\b(?:say|says|read|written|text)\b", re.I)
_IDENTIFY = re.compile(
    r"^(?:what['’]s|(?:what|which)(?: \w+)? (?:is|are)) (?:this|that|these|those|it)\b"
    r"(?: (?:thing|animal|object|one|called))?\??$|"
    r"^(?:what (?:kind|sort|type|breed|species) of \w+|which \w+) (?:is|are) (?:this|that|it)\b",
    re.I,
)
_PERSONAL = re.compile(r"\b(?:my|mine|i|me|owns?|owner|cost|password|tomorrow|yesterday)\b", re.I)
_LOOKS = re.compile(
    r"^(?:where(?:['’]s| is| are) the|what (?:do|can) (?:you|i) see|what is in front|find|show me|"
    r"describe)\b|"
    r"\b(?:colou?r|wearing)\b",
    re.I,
)


class RuleAnnotator:
    """Types, plans and words answers by rule; every choice depends on the sample alone."""

    name = "rules"

    def __init__(self, sees: Callable[[Sample], bool]) -> None:
        """`sees`: whether sight alone tells what a sample's target is."""
        self._sees = sees

    def question_type(self, sample: Sample) -> QuestionType:
        """By wording; a question that points and asks for a fact has two hops."""
        text = sample.question
        if _COUNT.search(text) and not sample.title:
            return "counting"
        if _IDENTIFY.search(text):
            return "fine_grained"
        if not sample.title and _PERSONAL.search(text):
            return "social"
        if _LOOKS.search(text):
            return "attribute"
        if _BINARY.search(text) and not sample.title:
            return "binary"
        if _READ.search(text) and not sample.title:
            return "ocr"
        return "multi_hop" if points(text) or sample.target is not None else "factoid"

    def decompose(self, sample: Sample) -> Sequence[SubQuestion]:
        """First what it is, then what is asked of it."""
        if self.question_type(sample) == "fine_grained":
            return (SubQuestion(sample.question, not self._seen(sample)),)
        if sample.target is None and not points(sample.question):
            return (SubQuestion(sample.question, True),)
        fact = resolve(sample.question, _plain(sample.title) or "the thing")
        # Even of what sight can name, half of the facts are asked for by looks: one search both
        # makes sure and tells.
        seen = self._seen(sample) and _draw(sample, 2) == 0
        return (
            SubQuestion("Which thing is meant?", not seen),
            SubQuestion(fact, bool(sample.title)),
        )

    def responses(self, sample: Sample, plan: Sequence[SubQuestion], count: int) -> Sequence[str]:
        """Ways to answer: by sight and words, by looks alone, by looks and then words."""
        if not any(part.needs_search for part in plan):
            return (sample.answer,)
        if len(plan) == 1 and self.question_type(sample) == "fine_grained":
            thing = self._mention(sample, pointed_noun(sample.question) or "thing")
            return (f"{thing}{MARK} is {with_article(_plain(sample.title))}.",)
        if len(plan) == 1:
            return (f"{MARK}{_begin(sample.answer)}",)[:count]
        name = _plain(sample.title)
        seen = self._mention(sample, name)
        unnamed = self._mention(sample, pointed_noun(sample.question) or "thing")
        known = f" is {with_article(name)}"
        ways = (
            f"{seen}{MARK}: {sample.answer}",
            f"{unnamed}{MARK}{known}: {sample.answer}",
            f"{unnamed}{MARK}{known}{MARK}: {sample.answer}",
            f"{seen}: {sample.answer}",
            f"{sample.answer}{MARK}",
        )
        return ways[:count]

    def refine(self, sample: Sample, plan: Sequence[SubQuestion], candidates: Sequence[str]) -> str:
        """As many searches as there are sub-questions that need one, placed before what they tell.

        One search by looks may bring the fact along: of the ways that name by search, one in three
        asks again with words.
        """
        needed = sum(part.needs_search for part in plan)
        placed = [one for one in candidates if not one.endswith(MARK)]
        if needed == 2:
            by_sight = self._mention(sample, _plain(sample.title))
            placed = [one for one in placed if not one.startswith(by_sight)] or placed
            needed = 2 if _draw(sample, 3) == 0 else 1
        fitting = [one for one in placed if one.count(MARK) == needed]
        return (fitting or placed or list(candidates))[0]

    def queries(self, sample: Sample, before: str, after: str) -> Sequence[tuple[QueryKind, str]]:
        """Looks where the thing is not named yet; else words made of name and question."""
        name = _plain(sample.title)
        named = not name or name in before.lower()
        if not named and (sample.target is not None or points(sample.question)):
            return (("region", ""),) if sample.target is not None else (("image", ""),)
        asked = resolve(sample.question, name) if name else sample.question
        return (("text", asked), ("text", f"{name} {asked}".strip()), ("text", name or asked))

    def _seen(self, sample: Sample) -> bool:
        return sample.target is not None and self._sees(sample)

    def _mention(self, sample: Sample, word: str) -> str:
        return f"The {word}" if sample.target is None else f"The [{word}|{sample.target}]"


def _begin(answer: str) -> str:
    return answer if answer.startswith((" ", ",", ":")) else f" {answer}"


def _plain(title: str) -> str:
    return title.split(" (")[0].strip().lower()


def _draw(sample: Sample, sides: int) -> int:
    """The same for the same sample, whatever the run."""
    return zlib.crc32(sample.id.encode()) % sides
