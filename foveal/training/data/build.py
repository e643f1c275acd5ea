"""Puts the data builder together: pictures, entries, annotator and searcher -> a JSONL file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from foveal.config.models import ReasoningConfig
from foveal.setup.assistant import Models, build_assistant, load_models
from foveal.setup.pixsearch import posteriors_of
from foveal.setup.search import load_recogniser, open_searcher
from foveal.training.data.distil import Distiller, DistilReport
from foveal.training.data.pictures import (
    SKIMAGE,
    coco_training,
    composites,
    cut_outs_in,
    cut_outs_of,
    entries_by_name,
    imagenet_training,
    load_picture,
    photographs,
)
from foveal.training.pixsearch.visual_input import Shown, shown_folder
from perception.scene.name_matching import NameMatcher
from perception.scene.recogniser import EVERYDAY, Recogniser
from reasoning.data.annotator import Annotator, Sample
from reasoning.data.builder import Builder, BuildReport
from reasoning.data.openai_annotator import OpenAiAnnotator
from reasoning.data.picture_questions import Picture, QuestionMaker
from reasoning.data.rules_annotator import RuleAnnotator
from reasoning.data.schema import Record, problems, read_jsonl, write_jsonl
from reasoning.data.wearer_questions import Wearer
from reasoning.data.wordings import excluded, read_wordings
from reasoning.pixsearch.modeling import ModelConfig
from reasoning.vlm.openai_client import ChatClient, Endpoint
from retrieval.search import KnowledgeSearcher
from stream.errors import SourceError
from stream.frame import Image
from stream.geometry import decode_mask

EVERYDAY_NAMES = tuple(words[0] for words in EVERYDAY)
SEEN = 0.6  # probability of the right name from which sight is enough
WHOLE_SHARE = 0.25  # of the visits that go to pictures without masks
FACT_SHARE = 0.4  # of the visits that also ask something that has nothing to do with it
PER_VISIT = 3  # questions of a picture before the next one
PER_LOOK = 9  # the same of the composed assistant, for whom a picture costs more
CACHED_PICTURES = 8


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What `foveal data build` is told."""

    out: Path
    data: Path | None = None
    cutouts: Path | None = None
    composites: int = 200
    limit: int = 1000
    annotator: str = "rules"
    index: Path | None = None
    seed: int = 0
    without: tuple[Path, ...] = ()  # benchmarks whose questions and pictures are left out


def build_data(
    options: BuildOptions, on_record: Callable[[int], None]
) -> BuildReport | DistilReport:
    """Write records to `options.out`; the same options give the same file (not with openai:…)."""
    if options.annotator == "composed":
        return distil_data(options, on_record)
    recogniser = load_recogniser()
    searcher = open_searcher(options.index, recogniser)
    random = np.random.default_rng(options.seed)
    picture = lru_cache(CACHED_PICTURES)(load_picture)
    annotator = make_annotator(options.annotator, RecognitionCheck(recogniser, picture), picture)
    builder = Builder(annotator, searcher, picture)
    samples = make_samples(options, searcher, random)

    write_jsonl(options.out, _limited(builder.build(samples), options.limit, on_record))
    return builder.report


def distil_data(options: BuildOptions, on_record: Callable[[int], None]) -> DistilReport:
    """Ask the composed assistant (foveal/training/data/distil.py) until there are enough records.

    What the segmenting model is shown of each picture is kept beside the file (`shown_folder`).
    """
    models = load_models(options.index)
    teacher = build_assistant(models, ReasoningConfig(model="rules"))
    distiller = Distiller(teacher, lambda text: len(models.lm.encode(text)))
    records = distilled(options, models, distiller)
    write_jsonl(options.out, _limited(records, options.limit, on_record))
    return distiller.report


def distilled(options: BuildOptions, models: Models, distiller: Distiller) -> Iterator[Record]:
    """Records without end: a picture, some questions of it, and the next picture."""
    random = np.random.default_rng(options.seed)
    questions, views = excluded(options.without)
    pictures = _pictures(options, random, views)
    entries = models.searcher.store.entries
    names = {thing.name for p in pictures for thing in p.things} | {p.whole for p in pictures}
    known = entries_by_name(entries, names)
    wearer = Wearer(read_wordings(), known, entries, EVERYDAY_NAMES, random, questions)
    masked = [picture for picture in pictures if picture.things]
    whole = [picture for picture in pictures if picture.whole in known]
    shown = make_shown(models, options.out, load_picture)
    while True:
        second = not masked or random.random() < WHOLE_SHARE
        some = whole if second and whole else masked
        picture = some[int(random.integers(len(some)))]
        for asked in wearer.questions(picture, PER_LOOK):
            record = distiller.record(asked, shown.view(picture.image))
            if record is not None:
                for turn in record.turns:
                    shown(record.image, turn.point)
                yield record


def make_shown(models: Models, records: Path, pictures: Callable[[str], Image]) -> Shown:
    """What perception shows of pictures, kept in a folder beside the records."""
    recogniser, config = load_recogniser(models.backbone), ModelConfig()
    return Shown(
        shown_folder(records),
        lambda: models.reader,
        lambda pooled: posteriors_of(recogniser, pooled),
        pictures,
        config.grid,
        config.things,
    )


def _limited(
    records: Iterator[Record], limit: int, on_record: Callable[[int], None]
) -> Iterator[Record]:
    for count, record in enumerate(records, 1):
        on_record(count)
        yield record
        if count >= limit:
            return


class RecognitionCheck:
    """Whether the recogniser names a sample's target rightly and surely: then no search is needed.

    The same measure for every model that is trained: what the shared backbone cannot tell, a head
    on it will not know either.
    """

    def __init__(self, recogniser: Recogniser, picture: Callable[[str], Image]) -> None:
        self._recogniser, self._picture = recogniser, picture
        self._matcher = NameMatcher(recogniser.class_synonyms)
        self._seen: dict[tuple[str, int], bool] = {}

    def __call__(self, sample: Sample) -> bool:
        """Raises SourceError when the picture cannot be read."""
        if sample.target is None:
            return False
        key = (sample.image, sample.target)
        if key not in self._seen:
            thing = sample.things[sample.target]
            image, mask = self._picture(sample.image), decode_mask(thing.mask)
            posterior = self._recogniser.classify([image], [mask])[0]
            best = self._matcher.best(posterior, 1)[0]
            fits = self._matcher.fit(posterior, thing.name)
            self._seen[key] = fits >= SEEN and best.probability >= SEEN / 2
        return self._seen[key]


def make_annotator(
    name: str, sight: Callable[[Sample], bool], pictures: Callable[[str], Image]
) -> Annotator:
    """`rules` or `openai:URL#MODEL`; raises ConfigError for anything else."""
    if name == "rules":
        return RuleAnnotator(sight)
    return OpenAiAnnotator(ChatClient(Endpoint.parse(name)), pictures)


def make_samples(
    options: BuildOptions, searcher: KnowledgeSearcher, random: np.random.Generator
) -> Iterator[Sample]:
    """Questions of all pictures in random order, with some of fact in between."""
    pictures = _pictures(options, random)
    entries = searcher.store.entries
    names = {thing.name for p in pictures for thing in p.things} | {p.whole for p in pictures}
    maker = QuestionMaker(entries_by_name(entries, names), EVERYDAY_NAMES, random)
    masked = [picture for picture in pictures if picture.things]
    whole = [picture for picture in pictures if not picture.things]
    while True:
        second = not masked or random.random() < WHOLE_SHARE
        some = whole if second and whole else masked
        picture = some[int(random.integers(len(some)))]
        drawn = list(maker.of_picture(picture))
        for number in random.permutation(len(drawn))[:PER_VISIT]:
            yield drawn[int(number)]
        if not drawn or random.random() < FACT_SHARE:
            yield from maker.of_entry(entries[int(random.integers(len(entries)))], picture)


def _pictures(
    options: BuildOptions, random: np.random.Generator, without: frozenset[str] = frozenset()
) -> list[Picture]:
    """All training pictures but those whose file's stem is in `without`."""

    def kept(pictures: Iterator[Picture]) -> list[Picture]:
        return [p for p in pictures if Path(p.image).stem.removeprefix(SKIMAGE) not in without]

    own = kept(photographs())
    known = kept(coco_training(options.data)) if options.data else []
    whole = kept(imagenet_training(options.data)) if options.data else []
    cuts = list(cut_outs_in(options.cutouts)) if options.cutouts else []
    cuts += list(cut_outs_of(known))
    grounds = [p.image for p in own] + [p.image for p in known if not p.things]
    pasted: list[Picture] = []
    if cuts:
        folder = options.out.parent / f"{options.out.stem}.images"
        pasted = list(composites(cuts, grounds, options.composites, folder, random))
    return [*own, *known, *whole, *pasted]


def check_data(path: Path, images: bool = False) -> dict[str, Any]:
    """{"records", "turns", "segments", "problems"}; every problem names its record."""
    found: list[str] = []
    seen: set[str] = set()
    counts = {"records": 0, "turns": 0, "segments": 0}
    try:
        for record in read_jsonl(path):
            counts["records"] += 1
            counts["turns"] += len(record.turns)
            counts["segments"] += sum(len(turn.segments) for turn in record.turns)
            found += [f"{record.id}: {what}" for what in problems(record)]
            if record.id in seen:
                found.append(f"{record.id}: the id is used twice")
            seen.add(record.id)
            if images:
                found += _picture_problems(record.image, record.size, path.parent)
    except SourceError as error:
        found.append(str(error))
    if not counts["records"] and not found:
        found.append(f"{path}: expected at least one record, found none")
    return {**counts, "problems": found}


def _picture_problems(image: str, size: tuple[int, int], base: Path) -> list[str]:
    try:
        shape = load_picture(image, base if not image.startswith(SKIMAGE) else None).shape
    except SourceError as error:
        return [str(error)]
    return [] if shape[:2] == size else [f"{image}: expected {size}, the picture is {shape[:2]}"]
