"""Indexes of pictures: built, gone on with, searched; bad pictures, masks and encoders refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from retrieval.pictures.building import MAX_REGIONS, PictureChange, build_pictures
from retrieval.pictures.matching import PictureSearcher
from retrieval.pictures.stored import FILE, has_pictures, load_pictures, picture_writer
from stream.errors import AssetError, ConfigError, OutputError
from stream.events import Query
from stream.geometry import decode_mask, encode_mask
from tests.retrieval.pictures.makers import SIDE, Squares, encoder, save, square

PICTURES = {"a.png": ("grey", "red"), "b.png": ("grey", "green"), "c.png": ("blue", "grey")}


def build(folder: Path, files: dict[str, Path], source: Squares | None = None) -> PictureChange:
    with picture_writer(folder) as db:
        return build_pictures(db, folder.parent, files, encoder(), source or Squares())


def searcher(folder: Path) -> PictureSearcher:
    return PictureSearcher(load_pictures(folder), encoder())


def test_words_find_a_picture_by_its_region(tmp_path: Path) -> None:
    files = save(tmp_path, PICTURES)
    assert build(tmp_path / "index", files) == PictureChange(3, 0, 0, 3, ())
    red, *others = searcher(tmp_path / "index").search(Query("text", "red", 3))
    assert red.name == "a.png" and red.region is not None and red.mask is not None
    assert red.score == red.region > max(0.9, red.whole, *(other.score for other in others))
    assert np.array_equal(decode_mask(red.mask), square())
    assert red.box == (20, 4, 32, 16) and Path(red.path) == tmp_path / "a.png"
    whole = searcher(tmp_path / "index").search(Query("text", "blue", 1))[0]
    assert whole.name == "c.png" and whole.score == whole.whole


def test_pictures_and_regions_find_pictures(tmp_path: Path) -> None:
    files = save(tmp_path, PICTURES)
    build(tmp_path / "index", files)
    image = np.asarray(Pillow.open(files["b.png"]))
    found = searcher(tmp_path / "index")
    assert found.search(Query("image", "<image>", 1, np.full_like(image, (20, 30, 220))))[
        0
    ].name == ("c.png")
    region = Query("region", "<region>", 2, image, encode_mask(square()))
    assert found.search(region)[0].name == "b.png"


def test_both_lists_vote(tmp_path: Path) -> None:
    build(tmp_path / "index", save(tmp_path, PICTURES))
    found = searcher(tmp_path / "index").candidates(Query("text", "green", 3))
    assert found[1].name == "b.png"  # the first one by regions
    assert sorted(hit.name for hit in found) == sorted([*PICTURES, *PICTURES])


def test_a_build_goes_on_and_follows_its_folder(tmp_path: Path) -> None:
    files = save(tmp_path, PICTURES)

    class Stopped(BaseException):
        pass

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped), picture_writer(tmp_path / "index") as db:
        build_pictures(db, tmp_path, files, encoder(), Squares(), stop)
    begun = load_pictures(tmp_path / "index")
    assert begun.names == ("a.png", "b.png") and not begun.whole
    source = Squares()
    assert build(tmp_path / "index", files, source).unchanged == 2
    assert source.asked == ["c.png"] and load_pictures(tmp_path / "index").whole
    save(tmp_path, {"a.png": ("blue", "red")})
    del files["b.png"]
    assert build(tmp_path / "index", files) == PictureChange(1, 1, 1, 1, ())
    assert build(tmp_path / "index", files, Squares(id="others")).added == 2
    assert load_pictures(tmp_path / "index").names == ("a.png", "c.png")


def test_bad_pictures_and_masks_are_refused_by_name(tmp_path: Path) -> None:
    files = save(tmp_path, PICTURES)
    (tmp_path / "bad.png").write_bytes(files["a.png"].read_bytes()[:60])
    bomb = tmp_path / "bomb.bmp"
    Pillow.new("1", (9000, 9000)).save(bomb)
    files |= {"bad.png": tmp_path / "bad.png", "bomb.bmp": bomb, "none.png": tmp_path / "none.png"}
    empty, small = np.zeros((SIDE, SIDE), np.bool_), np.ones((3, 3), np.bool_)
    change = build(tmp_path / "index", files, Squares(empty, small))
    assert (change.added, change.regions) == (3, 3)
    told = [str(one) for one in change.refused]
    for name, reason in (("bad.png", "picture"), ("bomb.bmp", "pixels"), ("none.png", "No such")):
        assert any(line.startswith(name) and reason in line for line in told)
    assert sum("2 others; they are left out" in line for line in told) == 3


def test_the_largest_masks_stay(tmp_path: Path) -> None:
    files = save(tmp_path, {"a.png": ("grey", "red")})
    dots = []
    for number in range(MAX_REGIONS + 5):
        dot = np.zeros((SIDE, SIDE), np.bool_)
        dot[number // SIDE, number % SIDE] = True
        dots.append(dot)
    change = build(tmp_path / "index", files, Squares(*dots))
    assert change.regions == MAX_REGIONS and "the largest stay" in change.refused[0].reason
    assert load_pictures(tmp_path / "index").boxes[0] == (20, 4, 32, 16)


def test_other_encoders_folders_and_damage(tmp_path: Path) -> None:
    files = save(tmp_path, PICTURES)
    folder = tmp_path / "index"
    build(folder, files)
    with pytest.raises(ConfigError, match="of the index"):
        PictureSearcher(load_pictures(folder), encoder("others"))
    with pytest.raises(ConfigError, match="another --out"), picture_writer(folder) as db:
        build_pictures(db, tmp_path, files, encoder("others"), Squares())
    with pytest.raises(OutputError, match=r"a\.png"), picture_writer(tmp_path):
        pass
    assert has_pictures(folder) and not has_pictures(tmp_path)
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        db.execute("UPDATE regions SET vector = zeroblob(length(vector)) WHERE number = 1")
    with pytest.raises(AssetError, match="damaged"):
        load_pictures(folder)
    with pytest.raises(AssetError, match="found none"):
        load_pictures(tmp_path / "absent")
