"""Referring and semantic segmentation sets as records: RefCOCO, ADE20k, PACO."""

import pickle
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reasoning.data.loaders.common import as_rle, coco_mask, field, read_json
from reasoning.data.records import Entity, TrainingRecord, TurnRecord, Words
from reasoning.generation.tokens import neutralise
from stream.errors import SourceError
from stream.frame import Mask

MIN_PIXELS = 16  # a mask must hold to be learned from
MAX_REFS_BYTES = 1 << 28


def grounded_record(name: str, image: Path, phrase: str, mask: Mask) -> TrainingRecord:
    """A question for a thing and an answer that marks it."""
    words = neutralise(phrase)
    size = (int(mask.shape[0]), int(mask.shape[1]))
    turn = TurnRecord(
        f"Where is {words}?", None, (Entity(words, as_rle(mask)), Words(" is marked."))
    )
    return TrainingRecord(name, str(image.resolve()), size, (turn,))


def refcoco_records(
    folder: Path, images: Path, split: str = "train", by: str = "unc"
) -> Iterator[TrainingRecord]:
    """`refs(BY).p` and `instances.json` of RefCOCO, RefCOCO+ (unc) or RefCOCOg (umd, google).

    Raises SourceError for files that are not of that form.
    """
    instances = folder / "instances.json"
    table = read_json(instances)
    annotations = {item["id"]: item for item in field(table, "annotations", instances)}
    infos = {item["id"]: item for item in field(table, "images", instances)}
    refs = folder / f"refs({by}).p"
    for ref in _read_refs(refs):
        if field(ref, "split", refs) != split:
            continue
        info, item = infos[ref["image_id"]], annotations[ref["ann_id"]]
        mask = coco_mask(item["segmentation"], (int(info["height"]), int(info["width"])))
        if mask.sum() < MIN_PIXELS:
            continue
        for number, sentence in enumerate(ref["sentences"]):
            name = f"refcoco-{by}-{ref['ref_id']}-{number}"
            yield grounded_record(name, images / info["file_name"], str(sentence["sent"]), mask)


def ade20k_records(folder: Path, split: str = "training") -> Iterator[TrainingRecord]:
    """ADEChallengeData2016: images/, annotations/ (PNG of class numbers), objectInfo150.txt."""
    names = _ade_names(folder / "objectInfo150.txt")
    for path in sorted((folder / "annotations" / split).glob("*.png")):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.ndim != 2:
            raise SourceError(f"expected a one-channel PNG of class numbers at {path}")
        image = folder / "images" / split / f"{path.stem}.jpg"
        for number in np.unique(labels):
            mask = np.asarray(labels == number)
            if number in names and mask.sum() >= MIN_PIXELS:
                yield grounded_record(
                    f"ade20k-{path.stem}-{number}", image, f"the {names[int(number)]}", mask
                )


def paco_records(annotations: Path, images: Path) -> Iterator[TrainingRecord]:
    """PACO-LVIS or PACO-EGO4D: objects ("mug") and parts ("mug:handle") in COCO's form."""
    table = read_json(annotations)
    names = {c["id"]: str(c["name"]) for c in field(table, "categories", annotations)}
    infos = {item["id"]: item for item in field(table, "images", annotations)}
    for item in field(table, "annotations", annotations):
        info = infos[item["image_id"]]
        mask = coco_mask(item["segmentation"], (int(info["height"]), int(info["width"])))
        if mask.sum() >= MIN_PIXELS:
            whole, _, part = names[item["category_id"]].replace("_", " ").partition(":")
            phrase = f"the {part} of the {whole}" if part else f"the {whole}"
            yield grounded_record(f"paco-{item['id']}", images / info["file_name"], phrase, mask)


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, words and numbers; a pickle may hold code, which is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def _read_refs(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_REFS_BYTES)
        refs = _PlainUnpickler(BytesIO(data)).load()
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, IndexError) as error:
        raise SourceError(
            f"expected the pickled references of RefCOCO at {path}: {error}"
        ) from error
    if not isinstance(refs, list):
        raise SourceError(f"expected a list of references in {path}, got {type(refs).__name__}")
    return refs


def _ade_names(path: Path) -> dict[int, str]:
    """Class number -> its first name; the columns are Idx, Ratio, Train, Val, Stuff, Name."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        rows = [line.split("\t") for line in lines if line.strip()]
        return {int(row[0]): row[-1].split(",")[0].strip() for row in rows}
    except (OSError, ValueError, IndexError) as error:
        raise SourceError(f"expected ADE20k's objectInfo150.txt at {path}: {error}") from error
