"""Comparing two checkouts: the order of runs, and which figures are kept."""

import json
from pathlib import Path

import pytest

from benchmarks.compare import Side, compared, figures, order
from stream.errors import ConfigError

BEFORE, AFTER = Side("before", Path("a")), Side("after", Path("b"))


def test_rounds_favour_neither_side() -> None:
    names = [side.name for side in order(BEFORE, AFTER, 3)]
    assert names == ["before", "after", "after", "before", "before", "after"]


def test_only_numbers_are_figures() -> None:
    row = {"fps": 10, "share": 0.5, "met": True, "note": "x", "absent": None}
    assert figures({"results": {"foveal": row}}) == {
        ("foveal", "fps"): 10.0,
        ("foveal", "share"): 0.5,
    }


def _checkout(folder: Path, fps: float, extra: str) -> Path:
    """A checkout with one benchmark that prints given figures."""
    (folder / "benchmarks").mkdir(parents=True)
    row = {"foveal": {"fps": fps}, extra: {"fps": 1.0}}
    code = "import sys; assert sys.argv[1:] == ['--quick'], sys.argv; "
    code += f"print('a table'); print({json.dumps(json.dumps({'results': row}))})"
    (folder / "benchmarks" / "__init__.py").touch()
    (folder / "benchmarks" / "tiny.py").write_text(code)
    (folder / "benchmarks" / "broken.py").write_text("raise SystemExit(3)")
    return folder


def test_both_checkouts_run_their_own_benchmark(tmp_path: Path) -> None:
    old = Side("before", _checkout(tmp_path / "old", 5.0, "gone"))
    new = Side("after", _checkout(tmp_path / "new", 7.5, "added"))
    found = compared("tiny --quick", old, new, 2)
    assert found.pop(("foveal", "fps")) == (5.0, 7.5)
    ((_, metric),) = found  # rows that one side alone prints are left out
    assert metric == "peak_mb"
    with pytest.raises(ConfigError, match="broken.*exit 3"):
        compared("broken", old, new, 1)
