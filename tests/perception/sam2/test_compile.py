"""Programs of static shape: same results, clean fallback, tensors that stay the caller's."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from perception.masks.prompts import MaskPrompt
from perception.sam2.compile import MAX_PROGRAMS, Program, Tensors
from perception.sam2.networks import Sam2Networks
from perception.sam2.upload import Uploader
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.frame import Frame
from tests.doubles.sam2_random import random_model, tiny_config


def doubled(x: torch.Tensor, extra: int = 0) -> Tensors:
    return x * 2 + extra, x + 1


def test_off_is_the_plain_function() -> None:
    program = Program(doubled, "off")
    assert torch.equal(program(torch.ones(2))[0], torch.full((2,), 2.0))
    assert program.reason == "off" and program.count == 0


def test_a_shape_becomes_a_program_when_it_settles() -> None:
    program = Program(doubled, "default", backend="eager")
    for extra in (0, 3):
        for length in (2, 3, 3, 3):
            x = torch.arange(float(length))
            first, second = program(x, constants=(extra,))
            assert torch.equal(first, x * 2 + extra) and torch.equal(second, x + 1)
    assert program.reason is None and program.count == 2, "length 3, with each constant"


def test_programs_are_bounded() -> None:
    program = Program(doubled, "default", backend="eager")
    for length in range(1, 2 * MAX_PROGRAMS):
        for _ in range(2):
            assert len(program(torch.ones(length))[0]) == length
    assert program.count == MAX_PROGRAMS


def test_graphs_without_cuda_fall_back_and_say_why(caplog: pytest.LogCaptureFixture) -> None:
    program = Program(doubled, "graphs")
    for _ in range(3):
        assert torch.equal(program(torch.ones(2))[0], torch.full((2,), 2.0))
    assert program.reason is not None and "need a CUDA device" in program.reason
    assert len(caplog.records) == 1, "told once"


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def follow(networks: Sam2Networks) -> torch.Tensor:
    tracker = Sam2Tracker(networks)
    rng = np.random.default_rng(0)
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:40] = True
    state, frame = (
        tracker.init_state(),
        Frame(0, 0, rng.integers(0, 255, (48, 64, 3), np.uint8), ""),
    )
    state, _ = tracker.add(state, frame, None, MaskPrompt(mask))
    for index in range(1, 4):
        image = np.roll(frame.image, index, 1)
        coming = Frame(index, 0, image, "")
        tracker.prefetch(coming)
        state, _ = tracker.step(state, coming)
    return state.tracks[0].logits


@pytest.mark.usefixtures("one_thread")
def test_a_compiled_tracker_gives_the_same_masks() -> None:
    """Traced as it would be for a GPU; the eager backend spares the tests a C++ compiler."""
    model = random_model(tiny_config(64, 64), seed=1)
    networks = Sam2Networks(model, compiled="default")
    networks.encoding = Program(networks._encoder.tensors, "default", backend="eager")  # type: ignore[union-attr]
    expected, found = follow(Sam2Networks(model)), follow(networks)
    assert networks.encoding.reason is None and networks.encoding.count == 1
    assert torch.allclose(found, expected, atol=1e-3)


def test_staged_pictures_are_taken_once_and_by_identity() -> None:
    upload = Uploader(torch.device("cpu"), 8, "bilinear")
    one, other = (np.full((4, 5, 3), value, np.uint8) for value in (1, 2))
    upload.stage(one)
    assert upload.take(other).shape == (3, 8, 8) and int(upload.take(other).max()) == 2
    assert int(upload.take(one).min()) == 1
    for _ in range(5):
        upload.stage(one)  # staged and never asked for: nothing piles up
    assert len(upload._staged) <= 2
