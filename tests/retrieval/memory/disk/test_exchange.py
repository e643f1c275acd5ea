"""A memory is taken out and brought in whole, as often as one likes, whatever the lines hold."""

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.memory.disk.exchange import export_lines, import_lines
from retrieval.memory.disk.schema import open_to_read
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import LOOK_BYTES
from stream.errors import MemoryFileError
from tests.retrieval.memory.makers import event, new_store, sight


def exported(store: MemoryStore) -> list[str]:
    with closing(open_to_read(store.path)) as reader:
        return list(export_lines(reader, store.path))


def filled(folder: Path) -> MemoryStore:
    store = new_store(folder)
    vectors = {"meaning": np.arange(-3, 3, dtype=np.int8), "look": bytes(range(LOOK_BYTES))}
    told = {"text": "Ça «EXIT» 出口", "said": "Bye.", "spoken_by": "wearer"}
    store.append(
        [
            MemoryRecord(event(0, frame=np.ones(6, np.int8), **told), [sight(0, "cup", **vectors)]),
            MemoryRecord(event(1, parent="e0"), [sight(1, "cup"), sight(1, "")]),
        ]
    )
    return store


def test_out_and_in_again_is_the_same_and_twice_is_as_good_as_once(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        lines = exported(store)
    assert all(line.isascii() for line in lines) and len(lines) == 4
    with MemoryStore(tmp_path / "other") as other:
        done = import_lines(other, io.StringIO("\n".join(lines)))
        assert (done.events, done.sights, done.refused) == (2, 3, {})
        again = import_lines(other, io.StringIO("\n".join(lines)))
        assert again.events == 0 and sum(again.refused.values()) == 2
        assert exported(other) == lines


def test_sights_that_were_folded_are_exported_with_what_they_share(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        store.connection.execute("UPDATE sight SET alike = 1 WHERE number = 2")
        rows = [json.loads(line) for line in exported(store)]
    assert rows[3]["sights"][0]["look"] == rows[2]["sights"][0]["look"] is not None


@pytest.mark.parametrize("first", ["", "{}", "[1]", "no json", '{"memory": 2}'])
def test_what_is_no_export_is_refused(tmp_path: Path, first: str) -> None:
    with new_store(tmp_path) as store, pytest.raises(MemoryFileError, match="expected"):
        import_lines(store, io.StringIO(first))


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just("\ud800\0"),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    line=st.integers(1, 3),
    keys=st.lists(st.integers(0, 11), min_size=1, max_size=3),
    value=VALUES,
    whole=st.booleans(),
)
def test_a_damaged_line_is_refused_or_read_and_the_rest_go_in(
    line: int, keys: list[int], value: Any, whole: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One value anywhere in one line is another."""
    folder = tmp_path_factory.mktemp("memory")
    with filled(folder) as store:
        rows = [json.loads(text) for text in exported(store)]
    place = rows[line]
    for key in keys[:-1]:
        below = place[list(place)[key % len(place)]] if isinstance(place, dict) else None
        place = below if isinstance(below, dict) and below else place
    place[list(place)[keys[-1] % len(place)]] = value
    rows.append({"event": rows[3]["event"], "sights": []} if whole else {"event": {}})
    text = "\n".join(json.dumps(row) for row in rows)
    with MemoryStore(folder / "other") as other:
        done = import_lines(other, io.StringIO(text))
        count = other.connection.execute("SELECT count(*) FROM event").fetchone()[0]
    assert done.events == count <= 3
    assert sum(done.refused.values()) >= 1  # the line at the end, at least
