"""Recall: where, when, how often and what, by words, meaning, look, time and sequence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.text import MiniLmEncoder, Progress, Vectors, unit_rows
from retrieval.memory.disk.forgetting import forget_name
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import LOOK_BYTES, MemorySession, quantise
from retrieval.memory.recall import Recall
from retrieval.memory.searcher import MemorySearcher
from stream.clock import VirtualClock
from stream.errors import MemoryFileError, QueryError
from stream.events import Query, QueryFilter
from stream.frame import Image, Mask
from tests.retrieval.memory.makers import MINUTE, NOON, event, record, sight

NOW = NOON + 60 * MINUTE


class Letters:
    """A text encoder whose words are near when they share letters."""

    id, dim = "letters", 26 * 16  # wide: a byte holds no component above .25

    def encode_text(self, texts: Any, progress: Progress | None = None) -> Vectors:
        rows = [[text.lower().count(chr(97 + place)) for place in range(26)] for text in texts]
        return unit_rows(np.tile(np.array(rows, np.float32), 16))


class Corner:
    """An appearance that is the picture's first pixel, over and over."""

    def look(self, image: Image, mask: Mask) -> bytes:
        return bytes([int(image[mask][0, 0])]) * LOOK_BYTES


def searcher(folder: Path, records: list[MemoryRecord], **parts: Any) -> MemorySearcher:
    with MemoryStore(folder / "m") as store:
        store.begin(MemorySession("s", NOON, encoder="letters"))
        done = store.append(records)
        assert not done.refused
    return MemorySearcher(folder / "m", VirtualClock(NOW), **parts)


def ids(found: list[Any]) -> list[str]:
    return [evidence.id for evidence in found]


def test_where_is_the_last_sight_with_its_time_box_and_what_is_beside_it(tmp_path: Path) -> None:
    cup = sight(40, "blue cup", box=(5, 6, 20, 21))
    with searcher(
        tmp_path,
        [
            record(3, "blue cup"),
            MemoryRecord(event(40), [cup, sight(40, "kettle")]),
            record(50, "red cup"),
        ],
    ) as memory:
        found = memory.search(Query("text", "Where did I leave the blue cup?", source="memory"))
    assert ids(found) == ["e40", "e3"]
    first = found[0]
    assert first.text == "12:40, 19 minutes ago: blue cup, next to kettle"
    assert (first.source, first.title, first.region, first.tier) == (
        "memory",
        "blue cup",
        (5, 6, 20, 21),
        "own",
    )


def test_what_holds_a_thing_and_the_room_are_told(tmp_path: Path) -> None:
    seen = [sight(40, "cup"), sight(40, "shelf", box=(0, 0, 400, 400))]
    said = record(41, said="I am in the kitchen now.")
    with searcher(tmp_path, [record(3, "cup"), MemoryRecord(event(40), seen), said]) as memory:
        found = memory.search(Query("text", "Where is my cup?", k=1))
    assert found[0].text.endswith(": cup, next to shelf; around the kitchen")


def test_a_question_asked_before_is_no_sight(tmp_path: Path) -> None:
    asked = event(50, id="q", said="Where is my cup?", spoken_by="wearer")
    with searcher(tmp_path, [record(3, "cup"), MemoryRecord(asked)]) as memory:
        assert ids(memory.search(Query("text", "Where is my cup?"))) == ["e3"]
        said = memory.search(Query("text", "what did I say about my cup"))
        assert "q" in ids(said)


def test_a_colour_that_was_never_recorded_is_no_hindrance_but_another_thing_is(
    tmp_path: Path,
) -> None:
    with searcher(tmp_path, [record(3, "cup"), record(4, "car")]) as memory:
        assert ids(memory.search(Query("text", "Where is my purple cup?"))) == ["e3"]
        assert memory.search(Query("text", "Where are my car keys?")) == []
        assert memory.search(Query("text", "Where is the elephant?")) == []


def test_first_list_and_count(tmp_path: Path) -> None:
    with searcher(tmp_path, [record(n, "cup" if n % 2 else "pan") for n in range(8)]) as memory:
        assert ids(memory.search(Query("text", "When did I first see a cup?", k=2))) == ["e1", "e3"]
        assert ids(memory.recall(Recall("cup", how="list", k=9))) == ["e1", "e3", "e5", "e7"]
        counted = memory.search(Query("text", "How often did I see a pan?", k=1))
        assert ids(counted) == ["e6"]
        assert counted[0].text.startswith("4 times, the last one 12:06, 53 minutes ago: pan")


def test_moments_that_follow_one_another_are_counted_once(tmp_path: Path) -> None:
    names = ["pan", "pan", "cup", "pan"]
    with searcher(tmp_path, [record(n, name) for n, name in enumerate(names)]) as memory:
        found = memory.search(Query("text", "How many times was there a pan?", k=1))
        assert found[0].text.startswith("twice, the last one 12:03")


def test_acts_are_counted_by_what_was_done_and_not_by_the_thing(tmp_path: Path) -> None:
    told = ["open the fridge", "close the fridge", "cut the bread", "open fridge", "wash a knife"]
    with searcher(tmp_path, [record(n, text=text) for n, text in enumerate(told)]) as memory:
        counted = memory.search(Query("text", "How often did I open the fridge?", k=2))
        assert ids(counted) == ["e3", "e0"] and counted[0].text.startswith("twice, ")
        washed = memory.search(Query("text", "When did I last wash the knife?", k=1))
        assert ids(washed) == ["e4"]
        limited = Query("text", "How often did I open the fridge before 12:02?")
        assert ids(memory.search(limited)) == ["e0"]


def test_times_in_the_question_and_in_the_filter(tmp_path: Path) -> None:
    with searcher(tmp_path, [record(n, "cup") for n in range(0, 60, 10)]) as memory:
        ago = Query("text", "Where was the cup half an hour ago?", k=9)
        assert ids(memory.search(ago)) == ["e30"]
        window = QueryFilter(NOON + 11 * MINUTE, NOON + 30 * MINUTE)
        assert set(ids(memory.search(Query("text", "cup", 9, filter=window)))) == {"e10", "e20"}
        assert memory.search(Query("text", "Where was the cup yesterday?")) == []
        recent = Query("text", "What happened in the last 25 minutes?", k=2)
        assert ids(memory.search(recent)) == ["e50", "e40"]


def test_before_something_else(tmp_path: Path) -> None:
    records = [record(1, "cup"), record(10, text="left the kitchen"), record(20, "cup")]
    with searcher(tmp_path, records) as memory:
        found = memory.search(Query("text", "Where was the cup before I left the kitchen?"))
        assert ids(found) == ["e1"]
        found = memory.search(Query("text", "Where was the cup after I left the kitchen?"))
        assert ids(found) == ["e20"]


def test_what_comes_just_before_and_after_is_told(tmp_path: Path) -> None:
    records = [record(n, text=text) for n, text in enumerate(["stairs", "EXIT 7", "lift"])]
    with searcher(tmp_path, records) as memory:
        found = memory.search(Query("text", "exit sign", k=4))
    assert ids(found) == ["e1", "e0"] and found[1].text.startswith("just before that, 12:00")


def test_meaning_finds_what_words_do_not(tmp_path: Path) -> None:
    encoder = Letters()
    vector = quantise(encoder.encode_text(["teapot"])[0])
    seen = sight(2, "", meaning=vector, box=(1, 2, 3, 4))
    with searcher(
        tmp_path, [record(1, "zzz"), MemoryRecord(event(2), [seen])], encoder=encoder
    ) as memory:
        found = memory.search(Query("text", "Where is the potato?"))
    assert ids(found) == ["e2"] and found[0].region == (1, 2, 3, 4)


def test_a_look_finds_the_same_one_again(tmp_path: Path) -> None:
    seen = [sight(n, "cup", look=bytes([value]) * LOOK_BYTES) for n, value in enumerate((7, 248))]
    records = [MemoryRecord(event(n), [one]) for n, one in enumerate(seen)]
    picture = np.full((8, 8, 3), 7, np.uint8)
    with searcher(tmp_path, records, appearance=Corner()) as memory:
        assert ids(memory.search(Query("image", "<image>", image=picture))) == ["e0"]
        with pytest.raises(QueryError, match="look"):
            memory.recall(Recall("cup", by="look"))
    with searcher(tmp_path / "other", records) as blind, pytest.raises(QueryError, match="picture"):
        blind.search(Query("image", "<image>", image=picture))


def test_a_sequence_is_found_in_its_order(tmp_path: Path) -> None:
    told = ["open fridge", "pour milk", "wash cup", "open fridge", "wash cup", "pour milk"]
    told += ["walk on"] * 100
    with searcher(tmp_path, [record(n, text=text) for n, text in enumerate(told)]) as memory:
        found = memory.recall(Recall("open the fridge", then=("wash the cup", "pour milk")))
        assert ids(found) == ["e3", "e4", "e5"]


def test_the_questions_own_event_is_left_out(tmp_path: Path) -> None:
    records = [record(1, "cup"), record(59, "cup")]
    with searcher(tmp_path, records, under_way=lambda: ["e59", "e60"]) as memory:
        assert ids(memory.search(Query("text", "When did I last see the cup?"))) == ["e1"]
        assert memory.recall(Recall("cup", without=("e1",))) == []


def test_what_is_written_and_forgotten_meanwhile_is_seen(tmp_path: Path) -> None:
    with searcher(tmp_path, []) as memory, MemoryStore(tmp_path / "m") as store:
        assert memory.search(Query("text", "cup")) == []
        store.begin(MemorySession("s", NOON))
        store.append([record(1, "cup")])
        assert ids(memory.search(Query("text", "cup"))) == ["e1"]
        forget_name(store, "cup")
        assert memory.search(Query("text", "cup")) == []


def test_a_clock_set_back_leaves_the_order_of_what_happened(tmp_path: Path) -> None:
    with searcher(tmp_path, [record(1, "cup")]) as memory, MemoryStore(tmp_path / "m") as store:
        store.begin(MemorySession("later", NOON - 500 * MINUTE))
        store.append([MemoryRecord(event(2, session="later"), [sight(2, "cup")])])
        assert ids(memory.search(Query("text", "Where did I last see the cup?"))) == ["e2", "e1"]


@pytest.mark.parametrize("text", ['"', "NEAR(a b)", "a OR", "*", "-", "col:x", "'; DROP TABLE x"])
def test_no_words_are_a_query_of_their_own(tmp_path: Path, text: str) -> None:
    with searcher(tmp_path, [record(1, "cup", text="a b")]) as memory:
        memory.search(Query("text", text))


def test_no_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MemoryFileError, match="no such file"):
        MemorySearcher(tmp_path / "none", VirtualClock())


@pytest.mark.assets
def test_the_embedded_encoder_finds_a_mug_for_a_cup(tmp_path: Path) -> None:
    from foveal.setup.retrieval.search import load_encoder
    from stream.errors import AssetError

    try:
        encoder: MiniLmEncoder = load_encoder(threads=1)
    except AssetError as error:
        pytest.skip(str(error))
    names = ["mug", "bicycle", "staircase", "newspaper"]
    vectors = encoder.encode_text(names)
    with MemoryStore(tmp_path / "m") as store:
        store.begin(MemorySession("s", NOON, encoder=encoder.id))
        store.append(
            [
                MemoryRecord(event(n), [sight(n, name, meaning=quantise(vectors[n]))])
                for n, name in enumerate(names)
            ]
        )
    with MemorySearcher(tmp_path / "m", VirtualClock(NOW), encoder) as memory:
        assert ids(memory.search(Query("text", "Where did I leave my coffee cup?"))) == ["e0"]
        assert memory.search(Query("text", "Where is the crocodile?")) == []
