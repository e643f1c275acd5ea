"""Stages share the cores, unless the environment says how."""

import os

import pytest
import torch

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
