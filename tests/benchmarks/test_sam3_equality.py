"""The comparison of SAM 3 with transformers, on random weights: equal ones pass, others do not."""

from pathlib import Path

import pytest

from benchmarks import sam3_equality
from perception.sam3.checkpoint import load_part
from tests.doubles.sam3_random import random_tracker_model, tiny_tracker_config


def test_equal_networks_pass_and_others_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        random_tracker_model(tiny_tracker_config(56), seed).save_pretrained(folder)
    asked = [str(tmp_path / "1"), "--frames", "3"]
    assert sam3_equality.main(asked) == 0
    assert '"benchmark": "sam3_equality"' in capsys.readouterr().out
    other = load_part(tmp_path / "2", "tracker")
    monkeypatch.setattr(sam3_equality, "load_part", lambda *_: other)
    assert sam3_equality.main(asked) == 1
