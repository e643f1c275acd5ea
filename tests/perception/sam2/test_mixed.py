"""Mixed precision, also the ways that GPUs take, which are followed here on the CPU."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from perception.sam2 import attention_windows, image_encoder, linear, memory_attention
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.state import Sam2Config
from perception.sam2_tracking.tracker import Sam2Tracker
from tests.doubles.sam2_random import random_model, tiny_config, tiny_edgetam_config
from tests.perception.sam2.sam2_rig import blob, frame, run


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def logits(model: Any, mixed: bool) -> torch.Tensor:
    tracker = Sam2Tracker(Sam2Networks(model, mixed), Sam2Config(fill_hole_area=0))
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    (track,) = run(tracker, state, 0, 2).tracks
    return track.logits


@pytest.mark.parametrize("edge", [False, True])
@pytest.mark.parametrize("gpu_ways", [False, True])
def test_mixed_is_close_to_float32(
    monkeypatch: pytest.MonkeyPatch, edge: bool, gpu_ways: bool
) -> None:
    model = random_model(tiny_edgetam_config(64, 64) if edge else tiny_config(64, 64), seed=1)
    exact = logits(model, False)
    if gpu_ways:
        for module in (attention_windows, image_encoder, linear, memory_attention):
            monkeypatch.setattr(module, "on_cpu", lambda device: False)
        whole = logits(model, False)
        assert float((whole - exact).norm() / exact.norm()) < 1e-4
    found = logits(model, True)
    assert found.dtype == torch.float32
    assert 1e-5 < float((found - exact).norm() / exact.norm()) < 0.15
