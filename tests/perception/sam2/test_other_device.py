"""The tracker off the CPU gives what it gives on it."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from perception.device import Device
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


def logits(model: Any, device: str) -> torch.Tensor:
    networks = Sam2Networks(copy.deepcopy(model).to(device))
    tracker = Sam2Tracker(networks, Sam2Config())
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 3)
    assert state.tracks[0].logits.device.type == torch.device(device).type
    return state.tracks[0].logits.cpu()


@pytest.mark.parametrize("edge", [False, True])
def test_masks_are_the_processors(other_device: Device, edge: bool) -> None:
    config = tiny_edgetam_config(64, 64) if edge else tiny_config(64, 64)
    model = random_model(config, seed=1)
    expected, found = logits(model, "cpu"), logits(model, other_device.name)
    assert float((found - expected).norm() / expected.norm()) < 0.01
