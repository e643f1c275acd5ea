"""`foveal models verify-sam2`: a checkpoint in our SAM 2 and in the package."""

import json
from pathlib import Path

import pytest
import torch

from foveal.cli import main
from tests.doubles.sam2_random import random_predictor

SIDE = "64"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sam2", reason="the sam2 package is not installed")
    file = tmp_path_factory.mktemp("sam2") / "sam2.1_hiera_tiny.pt"
    torch.save({"model": random_predictor(int(SIDE)).state_dict()}, file)
    return file


def test_a_checkpoint_agrees(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["models", "verify-sam2", str(checkpoint), "--image-size", SIDE]
    assert main([*args, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agrees"] and told["components"][-1]["least_iou"] > 0.99
    assert {row["component"] for row in told["components"]} >= {"object pointers", "memory tokens"}


def test_what_does_not_agree_fails(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from perception.sam2 import networks

    monkeypatch.setattr(networks, "MASK_BIAS", -9.0)  # a mask's logits
    args = ["models", "verify-sam2", str(checkpoint), "--image-size", SIDE]
    assert main(args) == 1
    assert "NO" in capsys.readouterr().out


@pytest.mark.parametrize("names", [[], ["a.pt", "b.pt"], ["facebook/sam2.1-hiera-tiny"]])
def test_one_checkpoint_file_is_asked_for(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "verify-sam2", *names]) == 1
    assert "expected one checkpoint" in capsys.readouterr().err


def test_a_file_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    assert main(["models", "verify-sam2", str(tmp_path / "broken.pt")]) == 1
    assert "expected a SAM 2 checkpoint" in capsys.readouterr().err


def test_without_the_package_it_says_what_to_install(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sam2.sam2_video_predictor", None)
    assert main(["models", "verify-sam2", str(checkpoint), "--image-size", SIDE]) == 1
    assert "install it with" in capsys.readouterr().err
