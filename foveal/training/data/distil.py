"""Self-distillation: the composed assistant is asked, and what is known confirms its answers.

Its trajectory (words, entities with masks, queries, evidence as it is shown, quotation, citation)
becomes the record. A wrong name, a wrong place or a quotation of something else is dropped; where
the evidence holds the answer and another sentence was quoted, the right one is put in its place.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from perception.detect.coco import EVERYDAY
from perception.scene.reader import SceneView
from reasoning.data.records import (
    Entity,
    Information,
    SearchCall,
    Segment,
    TrainingRecord,
    TurnRecord,
    Words,
    problems,
)
from reasoning.data.trajectory import segments_of
from reasoning.data.wearer_questions import WearerQuestion
from reasoning.generation.conversation import Assistant
from reasoning.generation.tokens import neutralise
from reasoning.rules.evidence_wording import quoted
from reasoning.rules.parsing import resolve
from reasoning.rules.script import DONT_KNOW
from reasoning.verification.answer_types import answer_type, fits_type
from reasoning.verification.predicates import says
from reasoning.verification.rerank import Support
from retrieval.sources.sentences import search_words, sentences
from stream.clock import NS_PER_S
from stream.errors import PromptError
from stream.events import Answer, Evidence, Question
from stream.geometry import Rle, decode_mask, mask_iou

SAME = 0.5  # overlap from which a mask is the known thing's
ALIKE = 0.75  # share of a fact's words from which a sentence is that fact
REFUSED = 0.15  # share of the records in which a searched answer ends in a refusal
MAX_OWN = 60  # tokens of an answer without its evidence
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SOURCE = re.compile(r"\(Source: (?P<title>.*?)\.\)")
_LOOKS = re.compile(r"^ looks like an? [^:,.(]*")


@dataclass(slots=True)
class DistilReport:
    """What was kept, and what was left out for which reason."""

    records: int = 0
    turns: int = 0
    refused: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, kind: str, reason: str) -> None:
        """Count a question that makes no turn."""
        key = f"{kind}: {reason}"
        self.dropped[key] = self.dropped.get(key, 0) + 1


class Distiller:
    """Asks questions and keeps what is confirmed."""

    def __init__(self, assistant: Assistant, tokens: Callable[[str], int]) -> None:
        """`tokens` counts those of some words."""
        self._assistant, self._tokens = assistant, tokens
        self.report = DistilReport()

    def record(self, asked: WearerQuestion, view: SceneView) -> TrainingRecord | None:
        """One question, and the one that follows it, as a record; None where nothing is left."""
        self._assistant.forget()
        turns: list[TurnRecord] = []
        one: WearerQuestion | None = asked
        while one is not None:
            sample = one.sample
            question = Question(sample.question, 5 * NS_PER_S * len(turns), sample.point)
            try:
                answer = self._assistant.ask(question, view, lambda _: None)
            except PromptError:
                self.report.drop(one.kind, "outside the picture")
                break
            found = self._confirmed(one, answer)
            if isinstance(found, str):
                self.report.drop(one.kind, found)
                break
            self._count(one, found)
            turns.append(TurnRecord(neutralise(sample.question), sample.point, tuple(found)))
            one = one.follows
        if not turns:
            return None
        record = TrainingRecord(
            asked.sample.id, asked.sample.image, asked.sample.size, tuple(turns)
        )
        wrong = problems(record)
        if wrong:
            self.report.drop(asked.kind, f"unsound: {wrong[0].split(':')[-1].strip()}")
            return None
        self.report.records += 1
        return record

    def _confirmed(self, asked: WearerQuestion, answer: Answer) -> Sequence[Segment] | str:
        """The answer's segments, or why it is not believed."""
        masks = [thing.mask for thing in asked.sample.things]
        segments: Sequence[Segment] = segments_of(answer, lambda mask: _known(mask, masks))
        found = self._judge(asked, answer, segments)
        if isinstance(found, str):
            return found
        own = "".join(s.text for s in found if isinstance(s, (Words, Entity)))
        if self._tokens(own) > MAX_OWN:
            return "too long"
        return found

    def _judge(
        self, asked: WearerQuestion, answer: Answer, segments: Sequence[Segment]
    ) -> Sequence[Segment] | str:
        kind, text = asked.kind, answer.text
        refuses = DONT_KNOW in text
        if kind in ("fact", "world"):
            return self._told(asked, answer, segments)
        if kind == "untold":
            return self._refusal(segments) if refuses else "told something else"
        if kind == "personal":
            return segments if refuses else "answered what nobody can know"
        if kind == "talk":
            return segments if not answer.searches else "searched for small talk"
        if refuses and kind != "state":
            return "did not know"
        return segments if _good(asked, text, segments) else "not confirmed"

    def _told(
        self, asked: WearerQuestion, answer: Answer, segments: Sequence[Segment]
    ) -> Sequence[Segment] | str:
        """A quotation of the sentence that is known to tell."""
        fact = asked.fact
        assert fact is not None
        cited = _SOURCE.search(answer.text)
        if cited and cited.group("title") != neutralise(fact.title):
            return "told by another entry"
        if cited and _alike(fact.sentence, answer.text):
            return segments
        if not answer.searches or not answer.searches[-1].evidence:
            return "did not search"
        known = [one for one in answer.searches[-1].evidence if one.title == fact.title]
        if not known:
            return self._refusal(segments) if DONT_KNOW in answer.text else "not found"
        right = _sentence(known[0], fact.sentence, asked.sample.question)
        if right is None:
            return self._refusal(segments) if DONT_KNOW in answer.text else "told something else"
        return retold(segments, Support(known[0], right, 1.0), asked.sample.question)

    def _refusal(self, segments: Sequence[Segment]) -> Sequence[Segment] | str:
        """Evidence that does not tell teaches to say so, in some records."""
        if self.report.refused > REFUSED * (self.report.turns + 20):
            return "enough refusals"
        self.report.refused += 1
        return segments

    def _count(self, asked: WearerQuestion, segments: Sequence[Segment]) -> None:
        self.report.turns += 1
        self.report.kinds[asked.kind] = self.report.kinds.get(asked.kind, 0) + 1
        for segment in segments:
            if isinstance(segment, SearchCall):
                self.report.calls[segment.modality] = self.report.calls.get(segment.modality, 0) + 1


def retold(segments: Sequence[Segment], support: Support, question: str) -> Sequence[Segment] | str:
    """The same way to the evidence, and then this sentence of it."""
    last = max(n for n, one in enumerate(segments) if isinstance(one, Information))
    kept = list(segments[: last + 1])
    tail = "".join(s.text for s in segments[last + 1 :] if isinstance(s, (Words, Entity)))
    entities = [s.text.strip() for s in kept if isinstance(s, Entity)]
    looks = _LOOKS.match(tail)
    title = support.evidence.title.split(" (")[0].strip().lower()
    if looks and title not in looks.group().lower():
        return "named otherwise"
    asked = resolve(question, title) if entities else question
    said = quoted(support, asked, entities[-1] if entities else "", joined=not looks)
    return [*kept, Words(neutral(f"{looks.group() if looks else ''}{said}"))]


def neutral(text: str) -> str:
    """Harmless words; the space that they begin with stays."""
    return (" " if text[:1] == " " else "") + neutralise(text)


def _good(asked: WearerQuestion, text: str, segments: Sequence[Segment]) -> bool:
    """Whether what is known of the picture confirms an answer from sight."""
    match asked.kind:
        case "name":
            return _named(asked, text)
        case "present":
            return text.startswith("Yes") and _shown(asked, segments)
        case "where" | "colour":
            return _shown(asked, segments)
        case "absent":
            return not any(isinstance(segment, Entity) for segment in segments)
        case "count":
            return _counted(asked, text)
        case "list":
            return _listed(asked, segments)
        case _:
            return True


def _known(mask: Rle, known: Sequence[Rle]) -> Rle:
    """The known mask of what a mask shows, else the mask itself."""
    shown = decode_mask(mask)
    best = max(known, key=lambda one: mask_iou(shown, decode_mask(one)), default=None)
    if best is not None and mask_iou(shown, decode_mask(best)) >= SAME:
        return best
    return mask


def _shown(asked: WearerQuestion, segments: Sequence[Segment]) -> bool:
    """Whether an entity of the answer has the mask of the thing that is asked for."""
    sample = asked.sample
    assert sample.target is not None
    name = sample.things[sample.target].name
    right = [thing.mask for thing in sample.things if thing.name == name]
    return any(s.mask in right for s in segments if isinstance(s, Entity))


def _names(name: str) -> tuple[str, ...]:
    """A thing's names: its own, and those of the everyday thing it is."""
    return next((words for words in EVERYDAY if name in words), (name,))


def _said(text: str, name: str) -> bool:
    said = set(search_words(text))
    return any(set(search_words(word)) <= said for word in _names(name))


def _named(asked: WearerQuestion, text: str) -> bool:
    sample = asked.sample
    if sample.target is not None:
        return _said(text, sample.things[sample.target].name)
    return _said(text, sample.title.split(" (")[0])


def _counted(asked: WearerQuestion, text: str) -> bool:
    sample = asked.sample
    assert sample.target is not None
    name = sample.things[sample.target].name
    count = sum(thing.name == name for thing in sample.things)
    return count < len(NUMBERS) and NUMBERS[count] in text.lower().split()


def _listed(asked: WearerQuestion, segments: Sequence[Segment]) -> bool:
    """Whether all that is listed is there, or nearly all."""
    said = [s for s in segments if isinstance(s, Entity)]
    right = sum(any(_said(s.text, t.name) for t in asked.sample.things) for s in said)
    return bool(said) and right >= 0.7 * len(said)


def _alike(sentence: str, text: str) -> bool:
    words = set(search_words(sentence))
    return len(words & set(search_words(text))) >= ALIKE * len(words)


def _sentence(evidence: Evidence, fact: str, question: str) -> str | None:
    """The sentence of the evidence that is the fact, if its words fit the question."""
    kind = answer_type(question)
    for sentence in _split(evidence.text):
        fits = kind in ("any", "where") or fits_type(sentence, kind)
        if fits and _alike(fact, sentence) and says(question, sentence):
            return sentence
    return None


def _split(text: str) -> Iterator[str]:
    for part in re.split(r"(?<=…)\s+", text):
        yield from sentences(part)
