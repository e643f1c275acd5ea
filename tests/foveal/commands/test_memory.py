"""`foveal memory`: what each action prints, changes and refuses."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from foveal.cli import EXIT_FAILED, EXIT_OK, EXIT_USAGE, main
from retrieval.memory.disk.store import MemoryRecord, MemoryStore
from retrieval.memory.events import MemorySession
from stream.clock import UnixClock
from tests.retrieval.memory.makers import MINUTE, event, sight

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten minutes that end now, without encoders."""
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "no-assets"))
    with MemoryStore(tmp_path / "day.memory") as store:
        store.begin(MemorySession("s", UnixClock().now_ns() - 10 * MINUTE))
        for number in range(10):
            seen = [sight(number, "blue cup" if number in (2, 6) else "pan")]
            store.append([MemoryRecord(event(number, text=f"page {number}"), seen)])
    return store.path


def told(capsys: Printed, *words: str) -> Any:
    assert main(["memory", *words, "--json"]) == EXIT_OK
    return json.loads(capsys.readouterr().out)


def test_search(memory: Path, capsys: Printed) -> None:
    found = told(capsys, "search", str(memory), "Where did I leave the blue cup?")
    assert found["how"] == "last"
    assert [one["id"] for one in found["evidence"]] == ["e6", "e2"]
    assert found["evidence"][0]["box"] == [10, 10, 50, 50]
    assert main(["memory", "search", str(memory), "blue cup", "--how", "first", "-k", "1"]) == 0
    assert "7 minutes ago: blue cup" in capsys.readouterr().out
    assert main(["memory", "search", str(memory), "elephant"]) == EXIT_OK
    assert "nothing that matches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--box", "1,1,5,5"], "--image"),
        (["--image", "absent.jpg"], "no such file"),
        ([], "words, a picture or a time"),
        (["cup", "-k", "0"], "k >= 1"),
    ],
)
def test_searches_that_are_refused(
    memory: Path, capsys: Printed, words: list[str], said: str
) -> None:
    assert main(["memory", "search", str(memory), *words]) == EXIT_FAILED
    assert said in capsys.readouterr().err


def test_a_mask_of_another_size_is_refused(memory: Path, tmp_path: Path, capsys: Printed) -> None:
    for name, size in (("p.png", (8, 8, 3)), ("m.png", (9, 8, 3))):
        cv2.imwrite(str(tmp_path / name), np.full(size, 255, np.uint8))
    given = ["--image", str(tmp_path / "p.png"), "--mask", str(tmp_path / "m.png")]
    assert main(["memory", "search", str(memory), *given]) == EXIT_FAILED
    assert "picture's size" in capsys.readouterr().err
    given = ["--image", str(tmp_path / "p.png"), "--box", "1,1,4,4"]
    assert main(["memory", "search", str(memory), *given]) == EXIT_FAILED
    assert "encoder" in capsys.readouterr().err  # of pictures: none was pulled


def test_list_and_stats(memory: Path, capsys: Printed) -> None:
    rows = told(capsys, "list", str(memory), "--count", "3")
    assert [row["id"] for row in rows] == ["e9", "e8", "e7"]
    assert rows[0]["sights"][0]["name"] == "pan" and rows[0]["text"] == "page 9"
    assert main(["memory", "list", str(memory), "--count", "1"]) == EXIT_OK
    assert capsys.readouterr().out.startswith("e9 ")
    stats = told(capsys, "stats", str(memory))
    assert (stats["events"], stats["sights"], stats["names"]) == (10, 10, 2)
    assert stats["hours"] == pytest.approx(1 / 6, abs=1e-3)
    assert main(["memory", "stats", str(memory)]) == EXIT_OK
    assert "10 events and 10 sights of 2 names" in capsys.readouterr().out
    assert stats["words"] == 10 * len("page 1") + len("blue cup") + len("pan")
    assert main(["memory", "list", str(memory), "--count", "0"]) == EXIT_FAILED


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--last", "2.5m"], 7),
        (["--older", "8m"], 9),  # the one that ended just then goes, by a breath
        (["--event", "e4"], 9),
        (["--name", "blue cup"], 10),
        (["--all"], 0),
    ],
)
def test_forget(memory: Path, capsys: Printed, words: list[str], left: int) -> None:
    done = told(capsys, "forget", str(memory), *words)
    assert done["events"] + done["sights"] > 0
    assert abs(told(capsys, "stats", str(memory))["events"] - left) <= (words[0] == "--older")
    assert (b"blue cup" in memory.read_bytes()) == (words[0] not in ("--name", "--all"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--last", "5"], "5m"),
        (["--last", "x m"], "5m"),
        (["--event", "e99"], "e99"),
        (["--name", " "], "empty"),
    ],
)
def test_forgetting_that_is_refused(
    memory: Path, capsys: Printed, words: list[str], said: str
) -> None:
    assert main(["memory", "forget", str(memory), *words]) == EXIT_FAILED
    assert said in capsys.readouterr().err
    assert told(capsys, "stats", str(memory))["events"] == 10


def test_forget_says_who_writes(memory: Path, capsys: Printed) -> None:
    with MemoryStore(memory):
        assert main(["memory", "forget", str(memory), "--all"]) == EXIT_FAILED
    assert "only writer" in capsys.readouterr().err


def test_export_and_import(memory: Path, tmp_path: Path, capsys: Printed) -> None:
    out, other = tmp_path / "day.jsonl", tmp_path / "other.memory"
    assert main(["memory", "export", str(memory), "--out", str(out)]) == EXIT_OK
    assert main(["memory", "export", str(memory)]) == EXIT_OK
    assert capsys.readouterr().out == out.read_text()
    assert told(capsys, "import", str(other), str(out)) == {
        "events": 10,
        "sights": 10,
        "refused": {},
    }
    again = told(capsys, "import", str(other), str(out))
    assert again["events"] == 0 and sum(again["refused"].values()) == 10
    assert main(["memory", "export", str(memory), "--out", str(memory)]) == EXIT_FAILED
    assert "lost" in capsys.readouterr().err
    assert main(["memory", "import", str(other), str(tmp_path / "none")]) == EXIT_FAILED


@pytest.mark.parametrize("action", ["search", "list", "stats", "forget", "export"])
def test_a_name_that_is_mistyped_makes_no_file(
    tmp_path: Path, capsys: Printed, action: str
) -> None:
    path = tmp_path / "absent"
    given = {"search": ["cup"], "forget": ["--all"]}.get(action, [])
    assert main(["memory", action, str(path), *given]) == EXIT_FAILED
    assert "no such file" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_usage(capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["memory", "forget", "day.memory"])
    assert ended.value.code == EXIT_USAGE
    with pytest.raises(SystemExit):
        main(["memory", "search", "--help"])
    assert "foveal memory search day.memory" in capsys.readouterr().out
