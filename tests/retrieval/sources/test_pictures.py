"""Pictures and their captions: beside them, in tables, in themselves; and what is refused."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from retrieval.sources.entries import Entry, Knowledge
from retrieval.sources.folder import read_folder
from retrieval.sources.pictures import load_picture
from stream.errors import SourceError


def shot(path: Path, words: str = "", taken: str = "", turned: int = 1) -> Path:
    exif = Pillow.Exif()
    exif[0x0112] = turned
    if words:
        exif[0x010E] = words
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    Pillow.new("RGB", (6, 4), (200, 10, 10)).save(path, exif=exif)
    return path


def load(folder: Path) -> Knowledge:
    return Knowledge.collect("shots", read_folder(folder))


def test_captions_of_every_kind(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        shot(tmp_path / f"{name}.jpg", taken="2026:05:01 12:30:00")
    shot(tmp_path / "e_f.jpg", "The shelf in the hall.")
    (tmp_path / "a.txt").write_text("The blue mug of Anna.")
    (tmp_path / "b.jpg.json").write_text('{"title": "Mug", "caption": "A red mug.", "tags": "tea"}')
    (tmp_path / "captions.csv").write_text("file_name,caption\na.jpg,no\nc.jpg,A green mug.\n")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "d.jpg", "text": "A black mug."}\n')
    knowledge = load(tmp_path)
    told = {entry.url: (entry.title, *entry.passages) for entry in knowledge.entries}
    assert told == {
        "a.jpg": ("a", "The blue mug of Anna."),
        "b.jpg": ("Mug", "A red mug."),
        "c.jpg": ("c", "A green mug."),
        "d.jpg": ("d", "A black mug."),
        "e_f.jpg": ("e f", "The shelf in the hall."),
    }
    assert knowledge.refused == ()
    first = knowledge.entries[0]
    assert (first.date, first.tier) == ("2026-05-01T12:30:00", "own")
    assert load_picture(first.picture).shape == (4, 6, 3)


@pytest.mark.parametrize("shape", ["words", "objects", "list"])
def test_captions_in_json(tmp_path: Path, shape: str) -> None:
    shot(tmp_path / "a.jpg")
    rows = {
        "words": {"a.jpg": "A blue mug."},
        "objects": {"a.jpg": {"caption": "A blue mug."}},
        "list": [{"file": "a.jpg", "caption": "A blue mug."}, "odd", {"file": "z.jpg"}],
    }
    (tmp_path / "captions.json").write_text(json.dumps(rows[shape]))
    knowledge = load(tmp_path)
    assert [entry.passages for entry in knowledge.entries] == [("A blue mug.",)]
    reasons = [item.reason for item in knowledge.refused]
    assert reasons == (
        ["expected a JSON object, got str", "no picture 'z.jpg'"] if shape == "list" else []
    )


def test_a_text_that_stands_beside_no_picture_is_a_note(tmp_path: Path) -> None:
    shot(tmp_path / "a.jpg", "A blue mug.")
    (tmp_path / "b.txt").write_text("The key is under the mat.")
    assert [entry.title for entry in load(tmp_path).entries] == ["a", "b"]


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header says more than its few bytes hold."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def test_what_is_refused_by_name(tmp_path: Path) -> None:
    shot(tmp_path / "good.jpg", "A blue mug.")
    shot(tmp_path / "mute.jpg")
    (tmp_path / "bomb.png").write_bytes(bomb(60_000, 60_000))
    (tmp_path / "wide.png").write_bytes(bomb(12_000, 8_000))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    (tmp_path / "empty.gif").write_bytes(b"")
    shot(tmp_path / "odd.jpg", "A red mug.")
    (tmp_path / "odd.json").write_text("[")
    knowledge = load(tmp_path)
    assert [entry.title for entry in knowledge.entries] == ["good", "odd"]
    told = {item.path: item.reason for item in knowledge.refused}
    assert set(told) == {
        *("mute.jpg", "bomb.png", "wide.png", "broken.jpg", "empty.gif", "odd.json")
    }
    assert "12000 x 8000" in told["wide.png"] and "no caption" in told["mute.jpg"]


def test_a_picture_is_turned_as_it_was_taken(tmp_path: Path) -> None:
    path = shot(tmp_path / "a.jpg", turned=6)
    assert load_picture(str(path)).shape == (6, 4, 3)
    assert np.abs(load_picture(str(path)).mean(axis=(0, 1)) - (200, 10, 10)).max() < 8


def test_a_picture_that_is_torn_or_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Pillow.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceError, match="a whole picture"):
        load_picture(str(path))
    with pytest.raises(SourceError, match="expected a picture"):
        load_picture(str(tmp_path / "gone.png"))


def test_entries_of_pictures_name_them(tmp_path: Path) -> None:
    shot(tmp_path / "a.jpg", "A blue mug.")
    (entry,) = (item for item in read_folder(tmp_path) if isinstance(item, Entry))
    assert Path(entry.picture) == (tmp_path / "a.jpg").resolve()
