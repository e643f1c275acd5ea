"""The tap of a memory: what becomes of frames and answers, what is forgotten, what is not kept."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveal.config.schema import SessionConfig
from foveal.session.memory.beside import Beside
from foveal.session.memory.event_line import CONFIG
from foveal.session.memory.impressions import EmbeddedImpressions, Noted
from foveal.session.memory.remember import Rememberer, Remembering
from foveal.session.pipeline import Session
from perception.detect.ocr import TextLine
from perception.features.backbone import Backbone
from perception.scene.name_matching import NameMatcher
from perception.scene.reader import SceneReader
from perception.scene.recogniser import Recogniser, load_head
from retrieval.memory.disk.statistics import newest_events
from retrieval.memory.disk.writer import MemoryWriter
from retrieval.memory.events import LOOK_BYTES
from stream.clock import NS_PER_S, MonotonicClock, VirtualClock
from stream.errors import MemoryFileError
from stream.events import Answer, Evidence, Question, Region, SearchRecord
from stream.frame import Frame, Image, Keyframe, KeyframeReason
from stream.geometry import encode_mask, mask_box
from tests.doubles.memory import PlainImpressions
from tests.foveal.session.test_pipeline import CUP, DOG, ListSink, clip, rig

SIZE = (48, 64)
DAY_NS = 1_700_000_000 * NS_PER_S  # the anchor


def frame(at_s: float, shade: int = 90) -> Frame:
    pts_ns = round(at_s * NS_PER_S)
    return Frame(pts_ns, pts_ns, np.full((*SIZE, 3), shade, np.uint8), "test")


def region(track: int, at_s: float, name: str, side: int = 10) -> Region:
    mask = np.zeros(SIZE, bool)
    mask[4 : 4 + side, 4 : 4 + side] = True
    return Region(track, round(at_s * NS_PER_S), encode_mask(mask), mask_box(mask), 0.9, name)


def key(at_s: float, reason: KeyframeReason) -> Keyframe:
    return Keyframe(frame(at_s), 0.5, reason)


def said(text: str, answer: str, at_s: float, source: str = "wiki") -> Answer:
    evidence = Evidence("e", "t", "x", 1.0, source)
    search = SearchRecord("text", text, (evidence,))
    return Answer(Question(text, round(at_s * NS_PER_S)), answer, answer, (), (search,))


@pytest.fixture
def impressions() -> PlainImpressions:
    return PlainImpressions([Noted("sofa", 0.8, (20, 10, 60, 40))])


@pytest.fixture
def memory(tmp_path: Path, impressions: PlainImpressions) -> Iterator[Rememberer]:
    writer = MemoryWriter(tmp_path / "day.memory", MonotonicClock())
    made = Rememberer(writer, impressions, Beside("test", waits=True), patience_s=20)
    yield made
    made.close()


def rows(memory: Rememberer) -> list[dict[str, Any]]:
    """What is in the file, oldest first."""
    memory.settle()
    path = memory.writer.path
    with closing(sqlite3.connect(path)) as connection:
        return list(newest_events(connection, path, 100))[::-1]


def watch(tap: Remembering, start_s: int, end_s: int, name: str = "cup", shade: int = 90) -> None:
    """A scene of one colour, with a keyframe at its start and every ten seconds."""
    for at in range(start_s, end_s):
        picked = key(at, "interval") if (at - start_s) % 10 == 0 else None
        tap.frame(frame(at, shade), (region(1, at, name),), picked)


def test_all_that_a_session_makes_goes_on_untouched(memory: Rememberer) -> None:
    sink = ListSink()
    tap = memory.tap(sink, "s", DAY_NS)
    shown, picked = (region(1, 0, "cup"),), key(0, "first")
    tap.frame(frame(0), shown, picked)
    answer = said("What is it?", "A cup.", 0)
    tap.answer(answer, frame(0), shown)
    assert sink.frames == [(0, shown, picked)]
    assert sink.answers == [(answer, 0, shown)]


def test_two_seconds_are_no_event(memory: Rememberer) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    for at in range(4):
        tap.frame(frame(at, 90 if at < 2 else 220), (region(1, at, "cup"),), key(at, "scene"))
    tap.close()
    assert [one["id"] for one in rows(memory)] == ["s/1"]


def test_an_event_ends_where_the_scene_changes(memory: Rememberer) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    for at in range(12):
        picked = key(at, "scene") if at % 2 == 0 else None
        shown = frame(at, 90 if at < 6 else 220)
        tap.frame(shown, (region(1, at, "cup" if at < 6 else "cat"),), picked)
    tap.close()
    first, second = rows(memory)
    assert (first["start_ns"], first["end_ns"]) == (DAY_NS, DAY_NS + 5 * NS_PER_S)
    names = [[sight["name"] for sight in one["sights"]] for one in (first, second)]
    assert names == [["cup", "sofa"], ["cat", "sofa"]]


def test_an_event_lasts_two_minutes_at_most(memory: Rememberer) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    watch(tap, 0, 260)
    tap.close()
    lasted = [one["end_ns"] - one["start_ns"] for one in rows(memory)]
    assert len(lasted) == 3
    assert max(lasted) <= CONFIG.most_ns


def test_questions_and_answers_are_remembered_as_words(memory: Rememberer) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    watch(tap, 0, 3)
    tap.answer(said("Who owns it?", "Nobody.", 2), frame(2), ())
    tap.close()
    told = {one["id"]: one for one in rows(memory)}
    assert (told["s/q1"]["said"], told["s/q1"]["spoken_by"]) == ("Who owns it?", "wearer")
    assert (told["s/a1"]["said"], told["s/a1"]["spoken_by"]) == ("Nobody.", "foveal")
    assert told["s/a1"]["parent"] == "s/1"


def test_what_was_remembered_is_not_remembered_again(memory: Rememberer) -> None:
    """Else the question itself would be the last trace of what it asks for."""
    tap = memory.tap(ListSink(), "s", DAY_NS)
    tap.answer(said("Where is the cup?", "There.", 2, source="memory"), frame(2), ())
    assert rows(memory) == []


def test_of_people_no_vector_is_made_and_the_unnamed_are_left_out(
    memory: Rememberer, impressions: PlainImpressions
) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    shown = (region(1, 0, "young woman"), region(2, 0, ""), region(3, 0, "cup", 20))
    tap.frame(frame(0), shown, None)
    tap.close()
    (event,) = rows(memory)
    assert {sight["name"] for sight in event["sights"]} == {"young woman", "cup"}
    assert impressions.regions == [400]


def test_a_masklet_is_looked_at_once_a_minute(
    memory: Rememberer, impressions: PlainImpressions
) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    for at in range(0, 90, 5):
        shown = frame(at, 90 if at % 2 else 220)
        tap.frame(shown, (region(1, at, "cup"),), key(at, "scene"))
    tap.close()
    assert len(rows(memory)) == 18
    assert len(impressions.regions) == 2


def test_to_forget_leaves_no_byte_of_what_goes_on_or_was_written(memory: Rememberer) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    watch(tap, 0, 5, "zanzibar vase")
    tap.answer(said("The zanzibar vase?", "Yes.", 4), frame(4), ())
    watch(tap, 5, 10, "zanzibar vase", 220)
    assert len(rows(memory)) == 3  # with the question and its answer
    memory.forget(DAY_NS).result(20)
    tap.close()
    assert rows(memory) == []
    path = memory.writer.path
    for file in path.parent.glob(path.name + "*"):
        assert b"zanzibar" not in file.read_bytes()


def test_the_last_minutes_are_forgotten_and_what_was_before_stays(memory: Rememberer) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    watch(tap, 0, 10)
    watch(tap, 10, 20, "cat", 220)
    done = memory.forget(DAY_NS + 15 * NS_PER_S).result(20)
    assert done.events == 0  # what goes on was never written
    tap.close()
    assert [one["id"] for one in rows(memory)] == ["s/1"]


def test_nothing_is_remembered_while_it_is_off(memory: Rememberer) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    watch(tap, 0, 5)
    tap.stop()
    watch(tap, 5, 10, "secret")
    tap.on = True
    watch(tap, 10, 15)
    tap.close()
    assert [[sight["name"] for sight in one["sights"]] for one in rows(memory)] == [
        ["cup", "sofa"],
        ["cup", "sofa"],
    ]


def test_a_memory_that_fails_ends_no_session_and_is_told_once(
    memory: Rememberer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = ListSink()
    tap = memory.tap(sink, "s", DAY_NS)
    memory.settle()
    full = MemoryFileError("expected room on the disk, got none")

    def fail(*_: object) -> None:
        raise full

    monkeypatch.setattr(memory.writer, "_count", fail)
    for at in range(0, 30, 5):
        shown = frame(at, 90 if at % 2 else 220)
        tap.frame(shown, (region(1, at, "cup"),), key(at, "scene"))
        memory.settle()
    told = [one.data for one in sink.events if one.kind == "refused"]
    assert told == [{"cause": "memory", "reason": str(full)}]
    assert len(sink.frames) == 6


def test_a_recording_moves_the_wall_with_its_stream(memory: Rememberer) -> None:
    wall = VirtualClock(DAY_NS)
    tap = memory.tap(ListSink(), "s", DAY_NS, wall)
    tap.frame(frame(7), (), None)
    assert wall.now_ns() == DAY_NS + 7 * NS_PER_S


def test_what_beside_cannot_keep_up_with_is_left_out() -> None:
    """Without waiting, whatever the thread does."""
    import threading

    let_go, beside = threading.Event(), Beside("test", limit=2)
    done: list[int] = []
    beside.do(let_go.wait)
    taken = [beside.offer(lambda: done.append(1)) for _ in range(5)]
    let_go.set()
    beside.close()
    assert taken == [True, True, False, False, False]
    assert done == [1, 1]


class _Words:
    def read(self, image: Image) -> tuple[TextLine, ...]:
        return (TextLine("EXIT", (0, 0, 9, 9), 0.9), TextLine("ROOM 4", (0, 9, 9, 18), 0.8))


def test_embedded_impressions_are_vectors_of_the_backbone() -> None:
    backbone = Backbone.random()
    recogniser = Recogniser(backbone, load_head())
    vectors = np.random.default_rng(0).standard_normal((1080, 8)).astype(np.float32)
    matcher = NameMatcher(
        recogniser.class_synonyms, vectors, lambda texts: np.zeros((len(texts), 8), np.float32)
    )
    reader = SceneReader(backbone, recogniser, matcher, _Words())
    made = EmbeddedImpressions(backbone, recogniser, reader, vectors, "hash-8")
    image = np.random.default_rng(1).integers(0, 255, (*SIZE, 3), np.uint8)
    mask = np.zeros(SIZE, bool)
    mask[10:30, 10:40] = True
    meaning, look = made.region(image, mask)
    assert meaning is not None
    assert meaning.dtype == np.int8
    assert (meaning.shape, len(look)) == ((8,), LOOK_BYTES)
    assert made.region(image, ~mask)[1] != look
    assert made.scene(image) is not None
    assert made.things(image) == ()
    assert made.words(image) == "EXIT\nROOM 4"
    assert made.encoder == "conse+hash-8"


def test_a_picture_is_kept_of_each_event_for_as_long_as_the_session_lasts(
    memory: Rememberer,
) -> None:
    tap = memory.tap(ListSink(), "s", DAY_NS)
    watch(tap, 0, 25)
    watch(tap, 25, 40, "cat", 220)
    tap.close()
    first, second = rows(memory)
    for event, shade in ((first, 90), (second, 220)):
        box = event["sights"][0]["box"]
        found = memory.views.of(Evidence(event["id"], "t", "x", 1.0, "memory", tuple(box)))
        assert found is not None
        assert abs(int(found.image.mean()) - shade) < 3
    memory.forget(None).result(20)
    assert memory.views.of(Evidence("s/1", "t", "x", 1.0, "memory", (4, 4, 14, 14))) is None


def test_a_session_makes_the_same_with_a_memory_and_without(memory: Rememberer) -> None:
    """Frames with their masks, events, and answers."""
    made = []
    for remembers in (False, True):
        one = rig(things=[CUP, DOG], config=SessionConfig())
        if remembers:
            tap = memory.tap(one.sink, "s", DAY_NS)
            one.session = Session(one.session._stages, tap, SessionConfig())
        one.run(clip(30), [Question("What is this?", 900)])
        made.append((one.sink.frames, one.sink.events, one.sink.answers))
    plain, remembered = made
    assert [(at, shown) for at, shown, _ in plain[0]] == [
        (at, shown) for at, shown, _ in remembered[0]
    ]
    assert plain[1] == remembered[1]
    assert [one[0].sequence for one in plain[2]] == [one[0].sequence for one in remembered[2]]
    assert [one["said"] for one in rows(memory) if one["said"]] == ["What is this?", "Yes."]
