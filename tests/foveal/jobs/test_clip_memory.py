"""What a replay remembers: at its clip's own time, once, and asked as it goes on."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from foveal.config.schema import MemorySettings
from foveal.jobs.clip_memory import ClipMemory
from foveal.setup.assistant import Models
from perception.detect.ocr import TextLine
from perception.features.backbone import Backbone
from perception.scene.name_matching import NameMatcher
from perception.scene.reader import SceneReader
from perception.scene.recogniser import Recogniser, load_head
from stream.events import Query
from stream.frame import Image
from tests.doubles.retrieval import HashEncoder
from tests.foveal.session.memory.test_remember import frame, key, region
from tests.foveal.session.test_pipeline import ListSink


class _NoWords:
    def read(self, image: Image) -> tuple[TextLine, ...]:
        return ()


@pytest.fixture(scope="module")
def models() -> Models:
    """The real networks with random weights."""
    backbone, encoder = Backbone.random(), HashEncoder(16)
    recogniser = Recogniser(backbone, load_head())
    vectors = np.random.default_rng(0).standard_normal((1080, 16)).astype(np.float32)
    matcher = NameMatcher(recogniser.class_synonyms, vectors, encoder.encode_text)
    reader = SceneReader(backbone, recogniser, matcher, _NoWords())
    searcher = SimpleNamespace(class_vectors=vectors, encoder=encoder)
    return cast(Models, SimpleNamespace(backbone=backbone, reader=reader, searcher=searcher))


def play(memory: ClipMemory, until_s: int) -> str:
    """Five seconds of a cup, then none; what is said of it then."""
    tap = memory.before(ListSink())
    for at in range(until_s):
        shown = (region(1, at, "cup"),) if at < 5 else ()
        tap.frame(
            frame(at, 90 if at < 5 else 220), shown, key(at, "scene") if at % 5 == 0 else None
        )
    assert memory.asked is not None
    found = memory.asked.search(Query("text", "Where did I leave my cup?", source="memory"))
    return found[0].nearest[0] if found else ""


def test_a_clip_is_remembered_once_and_asked_as_it_goes_on(models: Models, tmp_path: Path) -> None:
    clip = tmp_path / "walk.mp4"
    clip.write_bytes(b"clip")
    settings = MemorySettings(tmp_path / "day.memory")
    told = []
    for _ in range(2):
        with ClipMemory.open(settings, clip, models) as memory:
            told.append(play(memory, 15))
            figures = memory.figures()["memory"]
            assert memory.views is not None
    assert told[0].startswith("I last saw your cup 10 seconds ago")
    assert told[1] == told[0]
    assert figures["events"] == 0  # all of it is known already
    assert sum(figures["refused"].values()) >= 2


def test_what_comes_later_in_a_known_clip_is_not_known_yet(models: Models, tmp_path: Path) -> None:
    clip = tmp_path / "walk.mp4"
    clip.write_bytes(b"clip")
    settings = MemorySettings(tmp_path / "day.memory")
    with ClipMemory.open(settings, clip, models) as memory:
        play(memory, 15)
    with ClipMemory.open(settings, clip, models) as memory:
        assert play(memory, 2) == ""  # its own event goes on


def test_without_a_file_nothing_is_remembered(models: Models, tmp_path: Path) -> None:
    sink = ListSink()
    with ClipMemory.open(MemorySettings(), tmp_path / "walk.mp4", models) as memory:
        assert memory.before(sink) is sink
        assert (memory.asked, memory.views, memory.figures()) == (None, None, {})
