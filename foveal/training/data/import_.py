"""Public data sets by name -> records."""

from collections.abc import Iterator
from pathlib import Path

from reasoning.data.loaders.grounding import ade20k_records, paco_records, refcoco_records
from reasoning.data.loaders.knowledge import (
    crag_mm_samples,
    infoseek_samples,
    oven_samples,
    plain_record,
)
from reasoning.data.records import TrainingRecord
from stream.errors import ConfigError


def import_records(
    name: str, source: Path, images: Path | None, split: str | None, out: Path
) -> Iterator[TrainingRecord]:
    """The records of a set; knowledge sets come without searches, for an annotator to put in.

    Pictures of crag-mm are written beside `out`. Raises SourceError for files of another form,
    ConfigError when the pictures' folder is needed and not given.
    """
    if name == "crag-mm":
        folder = out.parent / f"{out.stem}.images"
        return (plain_record(turns) for turns in crag_mm_samples(source, folder) if turns)
    if name == "ade20k":
        return ade20k_records(source, split or "training")
    if images is None:
        raise ConfigError(f"expected --images, the folder of {name}'s pictures")
    if name == "refcoco":
        by = "unc" if (source / "refs(unc).p").is_file() else "umd"
        return refcoco_records(source, images, split or "train", by)
    if name == "paco":
        return paco_records(source, images)
    if name == "oven":
        return (plain_record([sample]) for sample in oven_samples(source, images))
    knowledge = source.with_name(f"{source.stem}_withkb.jsonl")
    samples = infoseek_samples(source, knowledge if knowledge.is_file() else None, images)
    return (plain_record([sample]) for sample in samples)
