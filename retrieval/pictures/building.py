"""From files to an index of pictures: masks by whoever makes them, vectors by an encoder.

MaTIR ("Mask-aware text-to-image retrieval", 2025): masks and what is in them are worked out before
anybody asks.
"""

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from retrieval.encoders import canary
from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import Progress
from retrieval.pictures.stored import (
    EncodedPicture,
    drop_pictures,
    known_keys,
    put_picture,
    tell,
    told,
)
from retrieval.sources.entries import RefusedRow
from retrieval.sources.pictures import load_picture
from stream.errors import ConfigError, PromptError, QueryError, SourceError
from stream.frame import Image, Mask
from stream.geometry import encode_mask, mask_box

MAX_REGIONS = 64  # of a picture, the largest ones


@dataclass(frozen=True, slots=True, eq=False)
class FoundMasks:
    """Masks [H, W] of one picture, and why others of it are not among them."""

    masks: Sequence[Mask]
    refused: tuple[str, ...] = ()


class MaskSource(Protocol):
    """Who says which regions a picture has."""

    id: str  # that changes with anything that changes the masks

    def find(self, name: str, image: Image) -> FoundMasks:
        """Masks of a [H, W, 3] picture, which is known by its path in the folder."""


@dataclass(frozen=True, slots=True)
class PictureChange:
    """What a build did."""

    added: int
    unchanged: int
    removed: int
    regions: int  # of the pictures added
    refused: tuple[RefusedRow, ...]


def build_pictures(
    db: sqlite3.Connection,
    root: Path,
    files: Mapping[str, Path],
    encoder: JointEncoder,
    source: MaskSource,
    progress: Progress | None = None,
    named: str = "",
) -> PictureChange:
    """Bring an index to what `files` (by their names) hold; what is unchanged stays.

    `named`: how whoever searches the index opens its encoder.

    A picture that cannot be read, or a mask, is refused by name and the others go in. Raises
    ConfigError for an index of another encoder, AssetError for an encoder that was edited since.
    """
    _begin(db, encoder)
    tell(db, root=str(root.resolve()), whole=False, named=named)
    known, kept, added, regions = known_keys(db), set[str](), 0, 0
    refused: list[RefusedRow] = []
    for number, (name, path) in enumerate(files.items(), start=1):
        try:
            key = _key(path, source.id)
            if known.get(name) != key:
                picture, reasons = _encoded(name, path, key, encoder, source)
                put_picture(db, picture)
                refused += [RefusedRow(name, None, reason) for reason in reasons]
                added, regions = added + 1, regions + len(picture.masks)
            kept.add(name)
        except (SourceError, QueryError, PromptError, OSError) as error:
            refused.append(RefusedRow(name, None, str(error)))
        if progress is not None:
            progress(number, len(files))
    gone = [name for name in known if name not in kept]
    drop_pictures(db, gone)
    tell(db, whole=True)
    return PictureChange(added, len(kept) - added, len(gone), regions, tuple(refused))


def _begin(db: sqlite3.Connection, encoder: JointEncoder) -> None:
    before = told(db)
    if not before:
        canaries = canary.record(encoder)
        tell(db, encoder=encoder.id, dim=encoder.dim, canaries=canaries)
    elif before["encoder"] != encoder.id:
        raise ConfigError(
            f"expected the encoder {before['encoder']} of the index, got {encoder.id}; choose it, "
            "or another --out"
        )
    else:
        canary.check(encoder, before["canaries"])


def _key(path: Path, source: str) -> bytes:
    """32 bytes that differ for other pictures and other makers of masks."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").digest()
    return hashlib.sha256(content + source.encode()).digest()


def _encoded(
    name: str, path: Path, key: bytes, encoder: JointEncoder, source: MaskSource
) -> tuple[EncodedPicture, tuple[str, ...]]:
    """A picture as it is stored, and why masks of it are left out."""
    image = load_picture(str(path))
    found = source.find(name, image)
    masks, refused = _fitting(found, image.shape[:2])
    vectors = encoder.encode_regions([image] * len(masks), masks)
    boxes = [box for mask in masks if (box := mask_box(mask)) is not None]
    encoded = EncodedPicture(
        name,
        key,
        (image.shape[0], image.shape[1]),
        encoder.encode_images([image])[0],
        tuple(map(encode_mask, masks)),
        tuple(boxes),
        vectors,
    )
    return encoded, refused


def _fitting(found: FoundMasks, size: tuple[int, ...]) -> tuple[list[Mask], tuple[str, ...]]:
    """The largest masks that have pixels and the picture's size, in the order they came in."""
    refused = list(found.refused)
    fit = [mask for mask in found.masks if mask.shape == size and mask.any()]
    if len(fit) < len(found.masks):
        refused.append(
            f"expected masks of {size[1]}x{size[0]} with a pixel at least, got "
            f"{len(found.masks) - len(fit)} others; they are left out"
        )
    if len(fit) > MAX_REGIONS:
        refused.append(f"expected at most {MAX_REGIONS} masks, got {len(fit)}; the largest stay")
        largest = np.argsort([-int(mask.sum()) for mask in fit], kind="stable")[:MAX_REGIONS]
        fit = [fit[n] for n in sorted(largest.tolist())]
    return fit, tuple(refused)
