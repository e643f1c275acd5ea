"""Stages share the cores, unless the environment says how."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from foveal.cli import main
from foveal.setup.threads import share_cores


def test_torch_gets_half_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        for cores, threads in ((1, 1), (2, 1), (8, 4)):
            monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
            assert share_cores() == threads
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        torch.set_num_threads(2)
        assert share_cores() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.assets
@pytest.mark.parametrize(
    "words",
    [
        ["track", "{}/clip", "--box", "10,10,90,90", "--no-video", "--out", "{}/out"],
        ["segment", "{}/clip/0.png", "--box", "10,10,90,90", "--out", "{}/mask.png"],
        ["index", "query", "--image", "{}/clip/0.png"],
    ],
)
def test_every_command_shares_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    (tmp_path / "clip").mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "clip" / "0.png"), picture)
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    try:
        assert main([word.format(tmp_path) for word in words]) == 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
