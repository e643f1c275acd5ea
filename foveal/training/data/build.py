"""Puts the data builder together: pictures, entries, annotator and searcher -> a JSONL file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from foveal.config.models import ReasoningConfig
from foveal.setup.assistant import Models, build_assistant, load_models
from foveal.setup.pixsearch import visual_input
from foveal.setup.retrieval.search import load_recogniser, open_searcher
from foveal.setup.retrieval.web import outgoing_log
from foveal.training.data.distil import Distiller, DistilReport
from foveal.training.data.pictures import (
    SKIMAGE,
    coco_training,
    composites,
    entries_by_name,
    imagenet_training,
    load_picture,
    package_photographs,
    scene_of,
    written,
)
from foveal.training.data.scenes import cut_outs, stamps
from foveal.training.data.visual_cache import VisualTokenCache, cache_folder
from perception.detect.coco import EVERYDAY
from reasoning.data.annotator import AnnotatedPicture
from reasoning.data.builder import Builder, BuildReport
from reasoning.data.openai_annotator import OpenAiAnnotator
from reasoning.data.records import TrainingRecord, problems, read_jsonl, write_jsonl
from reasoning.data.wearer_questions import Wearer, WearerQuestion, known_answer
from reasoning.data.wordings import excluded, read_wordings
from reasoning.pixsearch.modeling import ModelConfig
from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.wire.endpoint import Endpoint
from retrieval.sources.entries import Entry
from stream.errors import SourceError
from stream.frame import Image

EVERYDAY_NAMES = tuple(words[0] for words in EVERYDAY)
RULES = "rules"  # the annotator that is the assistant of English rules
WHOLE_SHARE = 0.25  # of the visits that go to pictures without masks
PER_VISIT = 9  # questions of a picture before the next one
CACHED_PICTURES = 8


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What `foveal data build` is told."""

    out: Path
    data: Path | None = None
    cutouts: Path | None = None
    composites: int = 200
    limit: int = 1000
    annotator: str = RULES
    index: Path | None = None
    seed: int = 0
    without: tuple[Path, ...] = ()  # benchmarks whose questions and pictures are left out


def build_data(
    options: BuildOptions, on_record: Callable[[int], None]
) -> BuildReport | DistilReport:
    """Write records to `options.out`; the same options give the same file (not with openai:…)."""
    if options.annotator == RULES:
        return distil_data(options, on_record)
    client = ChatClient(Endpoint.parse(options.annotator), outgoing_log())
    picture = lru_cache(CACHED_PICTURES)(load_picture)
    searcher = open_searcher(options.index, load_recogniser())
    builder = Builder(OpenAiAnnotator(client, picture), searcher, picture)
    asked = (one for _, one in questions(options, searcher.store.entries))
    samples = (sample for one in asked if (sample := known_answer(one)) is not None)
    write_jsonl(options.out, _limited(builder.build(samples), options.limit, on_record))
    return builder.report


def distil_data(options: BuildOptions, on_record: Callable[[int], None]) -> DistilReport:
    """Ask the assistant of rules (foveal/training/data/distil.py) until there are enough records.

    What the segmenting model is shown of each picture is kept beside the file (`cache_folder`).
    """
    models = load_models(options.index)
    teacher = build_assistant(models, ReasoningConfig(model=RULES))
    distiller = Distiller(teacher, lambda text: len(models.lm.encode(text)))
    records = distilled(options, models, distiller)
    write_jsonl(options.out, _limited(records, options.limit, on_record))
    return distiller.report


def distilled(
    options: BuildOptions, models: Models, distiller: Distiller
) -> Iterator[TrainingRecord]:
    """Records without end."""
    shown = make_cache(models, options.out, load_picture)
    for picture, asked in questions(options, models.searcher.store.entries):
        record = distiller.record(asked, shown.view(picture.image))
        if record is not None:
            for turn in record.turns:
                shown(record.image, turn.point)
            yield record


def questions(
    options: BuildOptions, entries: Sequence[Entry]
) -> Iterator[tuple[AnnotatedPicture, WearerQuestion]]:
    """Without end: a picture, some questions of it, and the next picture."""
    random = np.random.default_rng(options.seed)
    unasked, views = excluded(options.without)
    pictures = _pictures(options, random, views)
    names = {thing.name for p in pictures for thing in p.things} | {p.whole for p in pictures}
    known = entries_by_name(entries, names)
    wearer = Wearer(read_wordings(), known, entries, EVERYDAY_NAMES, random, unasked)
    masked = [picture for picture in pictures if picture.things]
    whole = [picture for picture in pictures if picture.whole in known]
    while True:
        second = not masked or random.random() < WHOLE_SHARE
        some = (whole if second else masked) or masked or pictures
        picture = some[int(random.integers(len(some)))]
        for asked in wearer.questions(picture, PER_VISIT):
            yield picture, asked


def make_cache(models: Models, records: Path, pictures: Callable[[str], Image]) -> VisualTokenCache:
    """What perception shows of pictures, kept in a folder beside the records."""
    visual = visual_input(load_recogniser(models.backbone), ModelConfig())
    return VisualTokenCache(cache_folder(records), lambda: models.reader, visual, pictures)


def _limited(
    records: Iterator[TrainingRecord], limit: int, on_record: Callable[[int], None]
) -> Iterator[TrainingRecord]:
    for count, record in enumerate(records, 1):
        on_record(count)
        yield record
        if count >= limit:
            return


def _pictures(
    options: BuildOptions, random: np.random.Generator, without: frozenset[str] = frozenset()
) -> list[AnnotatedPicture]:
    """All training pictures but those whose file's stem is in `without`."""

    def kept(pictures: Iterator[AnnotatedPicture]) -> list[AnnotatedPicture]:
        return [p for p in pictures if Path(p.image).stem.removeprefix(SKIMAGE) not in without]

    own = kept(package_photographs())
    known = kept(coco_training(options.data)) if options.data else []
    whole = kept(imagenet_training(options.data)) if options.data else []
    cuts = stamps(options.cutouts) if options.cutouts else []
    cuts += cut_outs([scene_of(picture) for picture in known])
    if not cuts:
        return [*own, *known, *whole]
    grounds = [p.image for p in own] + [p.image for p in known if not p.things]
    folder = options.out.parent / f"{options.out.stem}.images"
    pasted = written(composites(cuts, grounds, options.composites, random), folder)
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
