"""Knowledge sets as samples for an annotator, or as plain records: OVEN, InfoSeek, CRAG-MM."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reasoning.data.annotator import QuestionSample
from reasoning.data.loaders.common import field, picture_size, read_json_lines
from reasoning.data.records import TrainingRecord, TurnRecord, Words
from reasoning.generation.tokens import neutralise
from stream.errors import SourceError

ENDINGS = (".jpg", ".jpeg", ".JPEG", ".png")


def plain_record(samples: Sequence[QuestionSample]) -> TrainingRecord:
    """Samples of one picture as a conversation without searches."""
    first = samples[0]
    turns = tuple(
        TurnRecord(neutralise(s.question), s.point, (Words(neutralise(s.answer)),)) for s in samples
    )
    return TrainingRecord(first.id, first.image, first.size, turns)


def oven_samples(questions: Path, images: Path) -> Iterator[QuestionSample]:
    """`oven_entity_*.jsonl`: data_id, image_id, question, entity_id, entity_text.

    `images` holds the pictures, or ovenid2impath.csv tells where in it they are.
    """
    places = _Places(images)
    for row in read_json_lines(questions):
        entity = str(field(row, "entity_text", questions))
        yield _sample(row, questions, places, f"This is {entity}.", entity)


def infoseek_samples(
    questions: Path, knowledge: Path | None, images: Path
) -> Iterator[QuestionSample]:
    """`infoseek_*.jsonl` (data_id, image_id, question, answer), and its `_withkb` file.

    The latter names the entity of each question; without it, samples have no title.
    """
    titles = {
        str(row["data_id"]): str(field(row, "entity_text", knowledge))
        for row in (read_json_lines(knowledge) if knowledge else ())
        if knowledge
    }
    places = _Places(images)
    for row in read_json_lines(questions):
        answers = field(row, "answer", questions)
        answer = str(answers[0] if isinstance(answers, list) and answers else answers)
        title = titles.get(str(field(row, "data_id", questions)), "")
        yield _sample(row, questions, places, f"{answer}.", title)


def crag_mm_samples(shard: Path, out: Path) -> Iterator[tuple[QuestionSample, ...]]:
    """One conversation a row of a CRAG-MM parquet shard; pictures are written to `out`.

    Reads both published forms, turns as a list of dicts (v0.1.1) and as a dict of columns (v0.1.2);
    rows that hold only an `image_url` are left out, nothing is downloaded. Needs pyarrow; raises
    SourceError without it, or for another file.
    """
    out.mkdir(parents=True, exist_ok=True)
    for row in _rows(shard):
        picture = row.get("image")
        data = picture.get("bytes") if isinstance(picture, dict) else None
        if not data:
            continue
        name = str(field(row, "session_id", shard))
        path = out / f"{Path(name).name}.jpg"
        path.write_bytes(data)
        size = picture_size(path)
        answers = {
            str(a["interaction_id"]): str(a["ans_full"])
            for a in _listed(field(row, "answers", shard))
        }
        turns = _listed(field(row, "turns", shard))
        yield tuple(
            QuestionSample(
                f"crag-mm-{name}-{number}",
                str(path.resolve()),
                size,
                str(turn["query"]),
                answers.get(str(turn["interaction_id"]), ""),
            )
            for number, turn in enumerate(turns)
        )


class _Places:
    """Where the pictures of an image id lie."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}
        table = folder / "ovenid2impath.csv"
        if table.is_file():
            with table.open(encoding="utf-8", newline="") as file:
                self._known = {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}

    def find(self, image_id: str) -> Path:
        """Raises SourceError when there is none."""
        if image_id in self._known:
            path = (self._folder / self._known[image_id]).resolve()
            if path.is_relative_to(self._folder.resolve()) and path.is_file():
                return path
        if Path(image_id).name == image_id:
            for ending in ENDINGS:
                path = self._folder / f"{image_id}{ending}"
                if path.is_file():
                    return path.resolve()
        raise SourceError(f"expected a picture of {image_id!r} in {self._folder}, found none")


def _sample(
    row: Mapping[str, Any], source: Path, places: _Places, answer: str, title: str
) -> QuestionSample:
    path = places.find(str(field(row, "image_id", source)))
    name, question = str(field(row, "data_id", source)), str(field(row, "question", source))
    return QuestionSample(name, str(path), picture_size(path), question, answer, title=title)


def _listed(value: Any) -> list[dict[str, Any]]:
    """A list of dicts, however it is laid out."""
    if isinstance(value, dict):
        count = len(next(iter(value.values()), ()))
        return [{key: column[n] for key, column in value.items()} for n in range(count)]
    return list(value)


def _rows(shard: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SourceError("expected pyarrow to read a parquet file: pip install pyarrow") from error
    try:
        with parquet.ParquetFile(shard) as file:
            for batch in file.iter_batches(batch_size=16):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise SourceError(f"expected a parquet file at {shard}: {error}") from error
