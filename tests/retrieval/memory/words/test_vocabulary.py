"""Another word for a thing finds it, another colour does not, and what is unsure has no name."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retrieval.memory.disk.schema import open_to_read
from retrieval.memory.disk.store import MemoryRecord
from retrieval.memory.events import MemorySession, quantise
from retrieval.memory.moments import Moments
from retrieval.memory.words.vocabulary import MemoryNames, Vocabulary, colours_of, without_colours
from tests.doubles.retrieval import HashEncoder
from tests.retrieval.memory.makers import NOON, event, new_store, sight

NAMES = {1: "red cup", 2: "Blue cups", 3: "cup", 4: "", 5: "gray kettle"}


def test_colours_are_told_apart_from_things() -> None:
    assert colours_of(["gray", "cup"]) == {"grey"}
    assert without_colours(["red", "cup"]) == "cup" and without_colours(["red"]) == "red"


def test_a_colour_that_both_have_must_be_the_same() -> None:
    vocabulary = Vocabulary(HashEncoder())
    vocabulary.learn(NAMES)
    near = vocabulary.near(["blue", "cup"])
    assert set(near) == {2, 3}
    assert near[2] == near[3] == pytest.approx(1.0, abs=1e-5)
    assert vocabulary.near(["cup"])[5] < 0.5  # a kettle
    assert vocabulary.fits(5, colours_of(["grey"]))


def test_names_that_come_later_are_learnt_once() -> None:
    vocabulary = Vocabulary(HashEncoder())
    vocabulary.learn({1: "cup"})
    vocabulary.learn({1: "cup", 7: "pan"})
    assert vocabulary.near(["pan"])[7] == pytest.approx(1.0, abs=1e-5)
    assert Vocabulary(None).near(["pan"]) == {}


def test_without_an_encoder_words_are_all(tmp_path: Path) -> None:
    vocabulary = Vocabulary(None)
    vocabulary.learn(NAMES)
    assert vocabulary.words[2] == ["blue", "cup"]
    assert vocabulary.named_by(np.zeros((2, 4), np.float32)) == [None, None]


def test_what_has_no_name_gets_the_nearest_ones(tmp_path: Path) -> None:
    encoder = HashEncoder(512)
    meanings = quantise(encoder.encode_text(["red cup", "gray kettle", "elephant"]))
    with new_store(tmp_path) as store:
        store.begin(MemorySession("t", NOON, encoder=encoder.id))
        store.append(
            [
                MemoryRecord(event(0, session="t"), [sight(0, "red cup"), sight(0, "gray kettle")]),
                MemoryRecord(
                    event(1, session="t"), [sight(1, "", meaning=row) for row in meanings]
                ),
            ]
        )
        with closing(open_to_read(store.path)) as reader:
            moments = Moments(reader, encoder.id)
            moments.refresh()
    vocabulary, labels = Vocabulary(encoder), MemoryNames()
    vocabulary.learn(moments.names)
    found = [moments.names[number] for number in labels.update(moments, vocabulary)]
    assert found == ["red cup", "gray kettle", "red cup", "gray kettle", ""]
    assert labels.update(moments, vocabulary) is labels.numbers
