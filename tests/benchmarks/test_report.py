"""What every benchmark prints."""

import json

import pytest

from benchmarks.report import emit


def test_intervals_stand_beside_their_share_and_in_the_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"accuracy": 0.5, "accuracy_low": 0.25, "accuracy_high": 0.75, "lone_low": 1}
    emit("test", {"foveal": row, "peer": {"accuracy": None}}, {}, True)
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last)["results"]["foveal"] == row
    head = next(line for line in table if "accuracy" in line)
    assert "accuracy_low" not in head and "lone_low" in head
    assert any("0.500 (0.25-0.75)" in line for line in table)
