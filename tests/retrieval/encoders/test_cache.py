"""The cache of vectors: what is read again, what goes, what is refused."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from retrieval.encoders.cache import CachedEncoder, EncodingCache
from retrieval.encoders.conse import ConseEncoder
from retrieval.encoders.text import Progress, Vectors
from stream.errors import AssetError, QueryError
from tests.doubles.retrieval import ColourClassifier, HashEncoder

COLOURS = {"red ball": (255, 0, 0), "green leaf": (0, 255, 0), "blue sky": (0, 0, 255)}
RNG = np.random.default_rng(0)


class Counting(HashEncoder):
    """Counts the texts that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """As its parent."""
        self.asked += texts
        return super().encode_text(texts, progress)


def joint(text: HashEncoder | None = None) -> ConseEncoder:
    return ConseEncoder(text or HashEncoder(), ColourClassifier(COLOURS))


def test_what_was_encoded_is_read_again_after_a_restart(tmp_path: Path) -> None:
    text = Counting()
    cache = EncodingCache(tmp_path / "new" / "cache.sqlite")
    encoder = CachedEncoder(joint(text), cache)
    text.asked.clear()
    first = encoder.encode_text(["a cup", "the sea", "a cup"])
    assert text.asked == ["a cup", "the sea"]
    np.testing.assert_array_equal(first, joint().encode_text(["a cup", "the sea", "a cup"]))
    cache.close()
    cache = EncodingCache(tmp_path / "new" / "cache.sqlite")
    again = CachedEncoder(joint(text), cache)
    text.asked.clear()
    np.testing.assert_array_equal(first[1:], again.encode_text(["the sea", "a cup"]))
    assert text.asked == [] and cache.failures == 0
    assert again.encode_text([]).shape == (0, again.dim)


def test_pictures_regions_and_encoders_do_not_share_keys(tmp_path: Path) -> None:
    cache = EncodingCache(tmp_path / "c")
    encoder, plain = CachedEncoder(joint(), cache), joint()
    image = RNG.integers(0, 255, (6, 8, 3)).astype(np.uint8)
    flat = image.reshape(8, 6, 3)  # the same bytes
    mask = image[..., 0] > 100
    for _ in range(2):
        np.testing.assert_allclose(encoder.encode_images([image]), plain.encode_images([image]))
        np.testing.assert_allclose(encoder.encode_images([flat]), plain.encode_images([flat]))
        for one in (mask, ~mask):
            regions = encoder.encode_regions([image], [one])
            np.testing.assert_allclose(regions, plain.encode_regions([image], [one]))
    known = cache.size
    other = ConseEncoder(HashEncoder(), ColourClassifier(COLOURS), classifier_id="other")
    CachedEncoder(other, cache).encode_images([image])
    assert cache.size > known


def test_the_least_lately_used_go(tmp_path: Path) -> None:
    cache = EncodingCache(tmp_path / "c", max_bytes=10 * 4 * 8)  # ten vectors of eight
    keys = [bytes([n]) for n in range(10)]
    for number, key in enumerate(keys):
        cache.put({key: np.full(8, number, np.float32)})
    assert len(cache.get(keys)) == 10
    cache.get(keys[:1])
    cache.put({b"new": np.zeros(8, np.float32)})
    kept = cache.get([*keys, b"new"])
    assert cache.size <= 10 * 4 * 8 and {keys[0], b"new"} <= set(kept) and len(kept) == 9
    assert kept[keys[0]].tolist() == [0] * 8


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "diary.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE days (day TEXT)")
    before = foreign.read_bytes()
    with pytest.raises(AssetError, match="another SQLite file"):
        EncodingCache(foreign)
    assert foreign.read_bytes() == before
    (tmp_path / "text").write_text("no database" * 100, encoding="utf-8")
    with pytest.raises(AssetError, match="cache of vectors that can be written"):
        EncodingCache(tmp_path / "text")


def test_a_file_that_breaks_costs_time_and_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "c"
    cache = EncodingCache(path)
    encoder = CachedEncoder(joint(), cache)
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE encodings")
    expected = joint().encode_text(["a cup"])
    np.testing.assert_array_equal(encoder.encode_text(["a cup"]), expected)
    assert cache.failures == 2
    with pytest.raises(QueryError, match="as number 0"):
        encoder.encode_images([np.zeros((2, 2), np.uint8)])


def test_threads_share_it(tmp_path: Path) -> None:
    cache = EncodingCache(tmp_path / "c")
    words = [f"word {n}" for n in range(40)]

    def work() -> None:
        CachedEncoder(joint(), cache).encode_text(words)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.failures == 0 and cache.size == 40 * 128 * 4
