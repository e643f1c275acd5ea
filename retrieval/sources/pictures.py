"""Pictures with captions: what stands beside a picture, in a table of its folder, or in itself."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from retrieval.sources.entries import RefusedRow
from retrieval.sources.jsonl import read_jsonl
from retrieval.sources.lines import encoding_of, read_text
from retrieval.sources.records import Record, iso_date, row_record
from retrieval.sources.tables import read_table
from stream.errors import SourceError
from stream.frame import Image

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 1 << 26  # by the header, before anything is decoded
MAX_SIDECAR_BYTES = 1 << 16
MAX_TABLE_BYTES = 1 << 26  # of a table in JSON, which is read whole
TABLES = ("captions", "metadata")  # the latter as in Hugging Face's ImageFolder
_SIDECARS = (".txt", ".json")
_TABULAR = (".csv", ".tsv", ".jsonl", ".json")


@dataclass(slots=True)
class PictureCaptions:
    """What is told of pictures, and which files tell it."""

    files: set[Path] = field(default_factory=set)  # sidecars and tables: no notes
    told: dict[Path, Record] = field(default_factory=dict)  # by picture
    refused: list[RefusedRow] = field(default_factory=list)


def read_captions(files: Sequence[Path], folder: Path, encoding: str = "") -> PictureCaptions:
    """Of all pictures among `files`: cup.txt or cup.jpg.json beside cup.jpg, or captions.csv.

    What is beside a picture is heard before what a table says.
    """
    pictures = {path for path in files if path.suffix.lower() in PICTURES}
    homes = {path.parent for path in pictures}
    stems = {path.with_suffix(""): path for path in pictures}
    found = PictureCaptions()
    for path in files:
        suffix, name = path.suffix.lower(), path.relative_to(folder).as_posix()
        bare = path.with_suffix("")
        table = bare.name.lower() in TABLES and suffix in _TABULAR and path.parent in homes
        beside = bare if bare in pictures else stems.get(bare)
        if not table and (suffix not in _SIDECARS or beside is None or path in pictures):
            continue
        found.files.add(path)
        try:
            if beside is not None and not table:
                _take(found, beside, _sidecar(path, name, encoding), name)
                continue
            for record in _table(path, name, encoding):
                shown = path.parent / record.picture if isinstance(record, Record) else path
                _take(found, shown, [record], name, shown in pictures)
        except (SourceError, OSError) as error:
            found.refused.append(RefusedRow(name, None, str(error)))
    return found


def _take(
    found: PictureCaptions, picture: Path, records: Any, name: str, there: bool = True
) -> None:
    """Keep what is told; of a picture that a table told of, what is beside it counts."""
    for record in records:
        if isinstance(record, RefusedRow):
            found.refused.append(record)
        elif not there:
            found.refused.append(RefusedRow(name, record.row, f"no picture {record.picture!r}"))
        elif picture not in found.told or record.row is None:
            found.told[picture] = record


def _sidecar(path: Path, name: str, encoding: str) -> Iterator[Record | RefusedRow]:
    if path.stat().st_size > MAX_SIDECAR_BYTES:
        raise SourceError(f"expected a caption of at most {MAX_SIDECAR_BYTES} bytes in {path}")
    if path.suffix.lower() != ".json":
        with path.open(encoding=encoding_of(path, encoding)) as file:
            yield Record(path=name, title="", text=file.read())
        return
    value = _json(path)
    if not isinstance(value, dict):
        raise SourceError(f"expected a JSON object in {path}, got {type(value).__name__}")
    for record in row_record(value, name, 1):
        yield replace(record, row=None)


def _table(path: Path, name: str, encoding: str) -> Iterator[Record | RefusedRow]:
    """Rows that name a picture; a title is not asked for."""
    if path.suffix.lower() == ".jsonl":
        yield from read_jsonl(path, name, encoding)
    elif path.suffix.lower() != ".json":
        yield from read_table(path, name, encoding, needed="picture")
    else:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise SourceError(f"expected at most {MAX_TABLE_BYTES} bytes in {path}; use .jsonl")
        yield from _listed(_json(path), path, name)


def _listed(value: Any, path: Path, name: str) -> Iterator[Record | RefusedRow]:
    """{"cup.jpg": "a cup"}, {"cup.jpg": {"caption": …}} or [{"file_name": "cup.jpg", …}]."""
    if isinstance(value, dict):
        value = [
            {"file_name": key, **(told if isinstance(told, dict) else {"caption": told})}
            for key, told in value.items()
        ]
    if not isinstance(value, list):
        raise SourceError(f"expected a JSON object or list in {path}, got {type(value).__name__}")
    for number, row in enumerate(value, start=1):
        if isinstance(row, dict):
            yield from row_record(row, name, number)
        else:
            yield RefusedRow(name, number, f"expected a JSON object, got {type(row).__name__}")


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"expected JSON in {path}: {error}") from error


def read_picture(path: Path, name: str, told: Record | None) -> Iterator[Record | RefusedRow]:
    """A picture with its caption: what is `told` of it, else what it says itself.

    Raises SourceError for what is no picture, or one too large; nothing is decoded.
    """
    exif = _exif(path)
    told = told or Record(path=name, title="")
    words = told.text or told.description or exif.get("caption", "")
    if not words.strip():
        yield RefusedRow(name, None, "no caption: write one in a .txt of the same name beside it")
        return
    yield replace(
        told,
        path=name,
        row=None,
        key=name,
        title=told.title or path.stem.replace("_", " ").replace("-", " "),
        text=words,
        url=told.url or name,
        date=told.date or exif.get("date", ""),
        picture=str(path.resolve()),
    )


def _exif(path: Path) -> Mapping[str, str]:
    """The date and the caption that a picture's header tells."""
    with _opened(path) as picture:
        try:
            tags = picture.getexif()
            taken = tags.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            taken, words = taken or tags.get(ExifTags.Base.DateTime), tags.get(0x010E)
        except Exception:  # Pillow's of broken EXIF are many; the picture is none the worse
            return {}
    date = iso_date(str(taken).strip("\x00 ")) if taken else ""
    return {"date": date or "", "caption": words if isinstance(words, str) else ""}


def _opened(path: Path) -> Any:
    """With its size checked by the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # of its own bound
            picture = Pillow.open(path)
    except Exception as error:  # Pillow's plugins raise what they like
        raise SourceError(f"expected a picture in {path}: {error}") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        picture.close()
        raise SourceError(f"expected at most {MAX_PIXELS} pixels in {path}, got {width} x {height}")
    return picture


def load_picture(reference: str) -> Image:
    """What an entry's `picture` names, [H, W, 3] uint8 RGB, turned as it was taken.

    Raises SourceError for what is not there, too large or broken.
    """
    file, marked, number = reference.rpartition("#page=")
    if marked and number.isdecimal():
        from retrieval.sources.pdf import page_picture  # an extra

        return page_picture(Path(file), int(number))
    with _opened(Path(reference)) as picture:
        try:
            turned = ImageOps.exif_transpose(picture) or picture
            return np.asarray(turned.convert("RGB"), dtype=np.uint8)
        except Exception as error:  # Pillow's decoders raise what they like
            raise SourceError(f"expected a whole picture in {reference}: {error}") from error
