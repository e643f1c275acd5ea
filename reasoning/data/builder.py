"""The builder: samples and an annotator in, search-interleaved records with real evidence out."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from reasoning.data.annotator import (
    MARK,
    SEARCHED_TYPES,
    Annotator,
    NamedMask,
    QuestionSample,
    SubQuestion,
)
from reasoning.data.records import (
    MAX_SEARCHES,
    Entity,
    Information,
    SearchCall,
    Segment,
    TrainingRecord,
    TurnRecord,
    Words,
    problems,
)
from reasoning.generation.evidence_text import format_evidence
from reasoning.generation.tokens import IMAGE, REGION, neutralise
from retrieval.search import Searcher
from retrieval.sources.sentences import search_words
from stream.errors import QueryError
from stream.events import Evidence, Query, QueryKind
from stream.frame import Image
from stream.geometry import Rle

_ENTITY = re.compile(r"\[([^\[\]|]+)\|(\d+)\]")
REFUSAL = ", but I don't know: what I found does not say."

Pictures = Callable[[str], Image]  # a record's image -> [H, W, 3] uint8


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """How the builder decides."""

    candidates: int = 5  # answers that the annotator writes, PixSearch's N
    k: int = 3  # entries of evidence per search, as the decode loop asks for
    covered: float = 0.6  # share of the words that follow which evidence must hold
    refusals: float = 0.15  # share of the records that may end in "I don't know"


@dataclass(slots=True)
class BuildReport:
    """What was made and what was left out."""

    records: int = 0
    refused: int = 0  # records that end in "I don't know" because evidence did not tell
    calls: dict[str, int] = field(default_factory=dict)  # modality -> calls
    types: dict[str, int] = field(default_factory=dict)  # question type -> records
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> samples


class Builder:
    """Runs the recipe over samples."""

    def __init__(
        self,
        annotator: Annotator,
        searcher: Searcher,
        pictures: Pictures,
        config: BuildConfig | None = None,
    ) -> None:
        self._annotator, self._searcher, self._pictures = annotator, searcher, pictures
        self.config = config or BuildConfig()
        self.report = BuildReport()

    def build(self, samples: Iterator[QuestionSample]) -> Iterator[TrainingRecord]:
        """One record per sample that works out; `report` counts the others by reason."""
        for sample in samples:
            segments = self._segments(sample)
            if isinstance(segments, str):
                self.report.dropped[segments] = self.report.dropped.get(segments, 0) + 1
                continue
            turn = TurnRecord(neutralise(sample.question), sample.point, tuple(segments))
            record = TrainingRecord(sample.id, sample.image, sample.size, (turn,))
            wrong = problems(record)
            if wrong:
                reason = f"unsound: {wrong[0].split(':')[-1].strip()}"
                self.report.dropped[reason] = self.report.dropped.get(reason, 0) + 1
                continue
            self._count(segments)
            yield record

    def _segments(self, sample: QuestionSample) -> list[Segment] | str:
        """The answer's segments, or why there are none."""
        kind = self._annotator.question_type(sample)
        self.report.types[kind] = self.report.types.get(kind, 0) + 1
        plan: Sequence[SubQuestion] = ()
        if kind in SEARCHED_TYPES:
            plan = self._annotator.decompose(sample)
        wanted = any(part.needs_search for part in plan)
        candidates = self._annotator.responses(sample, plan, self.config.candidates)
        if not wanted:
            candidates = [one for one in candidates if MARK not in one]
        if not candidates:
            return "no usable candidate"
        best = self._annotator.refine(sample, plan, candidates)
        if wanted != (MARK in best):
            return "the best candidate searches where none is needed, or does not where one is"
        return self._interleave(sample, best)

    def _interleave(self, sample: QuestionSample, answer: str) -> list[Segment] | str:
        """Run a query at every mark and put in what came back."""
        parts = answer.split(MARK)
        if len(parts) - 1 > MAX_SEARCHES:
            return "too many searches"
        segments = _words(parts[0], sample.things)
        for number, after in enumerate(parts[1:], 1):
            before = MARK.join(parts[:number])
            found = self._run(sample, before, after, segments)
            if isinstance(found, str):
                return found
            call, evidence, told = found
            information = Information(
                format_evidence(evidence) or "nothing found", tuple(e.id for e in evidence)
            )
            segments += [call, information]
            if not told:
                return self._refuse(segments)
            segments += _words(after, sample.things)
        return [segment for segment in segments if not isinstance(segment, Words) or segment.text]

    def _run(
        self, sample: QuestionSample, before: str, after: str, segments: Sequence[Segment]
    ) -> tuple[SearchCall, Sequence[Evidence], bool] | str:
        """The query whose evidence leads best to the words that follow."""
        needed = frozenset(search_words(_plain(after))) - frozenset(search_words(_plain(before)))
        best: tuple[float, SearchCall, Sequence[Evidence]] | None = None
        for modality, words in self._annotator.queries(sample, _plain(before), _plain(after)):
            call = _call(modality, words)
            if call is None or (modality == "region" and _last_mask(segments) is None):
                continue
            evidence = self._search(sample, call, segments)
            covered = _coverage(needed, evidence)
            if best is None or covered > best[0]:
                best = (covered, call, evidence)
            if covered >= self.config.covered:
                break
        if best is None:
            return "no query for a search"
        return best[1], best[2], best[0] >= self.config.covered

    def _search(
        self, sample: QuestionSample, call: SearchCall, segments: Sequence[Segment]
    ) -> Sequence[Evidence]:
        asked = neutralise(sample.question)
        try:
            if call.modality == "text":
                return self._searcher.search(Query("text", call.query, self.config.k))
            image = self._pictures(sample.image)
            mask = _last_mask(segments) if call.modality == "region" else None
            query = Query(call.modality, call.query, self.config.k, image, mask, asked)
            return self._searcher.search(query)
        except QueryError:
            return ()

    def _refuse(self, segments: list[Segment]) -> list[Segment] | str:
        """Evidence that does not tell teaches to say so, in some records."""
        if self.report.refused >= self.config.refusals * (self.report.records + 1):
            return "evidence does not lead to the answer"
        self.report.refused += 1
        return [*segments, Words(REFUSAL)]

    def _count(self, segments: Sequence[Segment]) -> None:
        self.report.records += 1
        for segment in segments:
            if isinstance(segment, SearchCall):
                self.report.calls[segment.modality] = self.report.calls.get(segment.modality, 0) + 1


def _words(text: str, things: Sequence[NamedMask]) -> list[Segment]:
    """Words and `[name|number]` entities; a number that is no thing's leaves its words."""
    segments: list[Segment] = []
    start = 0
    for match in _ENTITY.finditer(text):
        _say(segments, text[start : match.start()])
        number = int(match.group(2))
        if number < len(things):
            lead = " " if segments and text[match.start() - 1 : match.start()].isspace() else ""
            _trim(segments)
            segments.append(Entity(lead + _clean(match.group(1)), things[number].mask))
        else:
            _say(segments, match.group(1))
        start = match.end()
    _say(segments, text[start:])
    return segments


def _say(segments: list[Segment], text: str) -> None:
    text = _clean(text)
    if not text:
        return
    if segments and isinstance(segments[-1], Words):
        segments[-1] = Words(segments[-1].text + text)
    else:
        segments.append(Words(text))


def _trim(segments: list[Segment]) -> None:
    """The space before an entity goes with the entity, as tokenizers split."""
    if segments and isinstance(segments[-1], Words):
        shorter = segments[-1].text.rstrip()
        if shorter:
            segments[-1] = Words(shorter)
        else:
            segments.pop()


def _clean(text: str) -> str:
    """Harmless words; the spaces at both ends stay."""
    inner = neutralise(text)
    lead = " " if text[:1].isspace() and inner else ""
    return lead + inner + (" " if text[-1:].isspace() and inner else "")


def _plain(text: str) -> str:
    return _ENTITY.sub(r"\1", text)


def _call(modality: QueryKind, words: str) -> SearchCall | None:
    if modality != "text":
        return SearchCall(modality, REGION if modality == "region" else IMAGE)
    words = neutralise(words)
    return SearchCall("text", words) if words else None


def _last_mask(segments: Sequence[Segment]) -> Rle | None:
    masks = [segment.mask for segment in segments if isinstance(segment, Entity)]
    return masks[-1] if masks else None


def _coverage(needed: frozenset[str], evidence: Sequence[Evidence]) -> float:
    """Share of the needed words that the evidence holds; 1 when nothing is needed."""
    if not needed:
        return 1.0
    held = {word for one in evidence for word in search_words(f"{one.title} {one.text}")}
    return len(needed & held) / len(needed)
