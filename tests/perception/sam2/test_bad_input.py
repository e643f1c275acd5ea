"""Bad input: refused or degraded with its reason, and no other object harmed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.open import load_model
from perception.sam2_tracking.state import Sam2Config, state_bytes
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import AssetError, BadFrame, ConfigError, PromptError
from stream.frame import Frame, Mask
from tests.doubles.sam2_random import random_model, tiny_config
from tests.perception.sam2.sam2_rig import HEIGHT, WIDTH, blob, frame, run


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def networks() -> Sam2Networks:
    return Sam2Networks(random_model(tiny_config(64, 64), seed=1))


@pytest.fixture
def tracker(networks: Sam2Networks) -> Sam2Tracker:
    return Sam2Tracker(networks)


EMPTY = np.zeros((HEIGHT, WIDTH), bool)
PROMPTS: list[tuple[str, Prompt | Mask, str]] = [
    ("empty mask", MaskPrompt(EMPTY), "at least one pixel"),
    ("bare empty mask", EMPTY, "at least one pixel"),
    ("mask of another size", MaskPrompt(np.ones((5, 5), bool)), "of the frame's size"),
    ("box outside", BoxPrompt((200, 200, 300, 300)), "meets the 64x48 frame"),
    ("box without area", BoxPrompt((5, 5, 5, 9)), "x0 < x1"),
    ("point outside", PointsPrompt(((64.0, 3.0),)), "inside the 64x48 frame"),
    ("point that is no number", PointsPrompt(((float("nan"), 3.0),)), "inside the 64x48 frame"),
    ("no point on the thing", PointsPrompt(((5.0, 5.0),), (False,)), "one point on the thing"),
    ("no point", PointsPrompt(()), "1 to 64 points"),
]


@pytest.mark.parametrize(
    ("prompt", "reason"), [p[1:] for p in PROMPTS], ids=[p[0] for p in PROMPTS]
)
def test_unusable_prompts_change_nothing(
    tracker: Sam2Tracker, prompt: Prompt | Mask, reason: str
) -> None:
    state, first = tracker.add(tracker.init_state(), frame(0), None, blob())
    with pytest.raises(PromptError, match=reason):
        tracker.add(state, frame(0), None, prompt)
    with pytest.raises(PromptError, match=reason):
        tracker.correct(state, frame(0), first, prompt)
    _, regions = tracker.step(state, frame(1))
    assert [region.track_id for region in regions] == [first]


def test_pictures_that_hold_no_numbers_never_reach_the_tracker(tracker: Sam2Tracker) -> None:
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    nothing = np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)
    with pytest.raises(BadFrame, match="uint8 RGB image"):
        Frame(1_000, 0, nothing, "nan")  # type: ignore[arg-type]
    state, regions = tracker.step(state, frame(2))
    assert len(regions) == 1 and state.index == 1, "the stream goes on"


def test_a_point_on_nothing_is_refused(networks: Sam2Networks) -> None:
    model = random_model(tiny_config(64, 64), seed=1)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(-50.0)
    tracker = Sam2Tracker(Sam2Networks(model))
    with pytest.raises(PromptError, match="found nothing there"):
        tracker.add(tracker.init_state(), frame(0), None, PointsPrompt(((5.0, 5.0),)))


def test_broken_numbers_lose_one_object_and_no_other(tracker: Sam2Tracker) -> None:
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, second = tracker.add(state, frame(0), None, blob(30, 20))
    healthy = run(tracker, state, 0, 5)
    first, other = state.tracks
    memory = replace(first.prompted[0], tokens=first.prompted[0].tokens * float("nan"))
    broken = replace(state, tracks=(replace(first, prompted=(memory,)), other))
    broken = run(tracker, broken, 0, 5)
    assert broken.tracks[0].presence < 0 and not (broken.tracks[0].logits > 0).any()
    assert not broken.tracks[0].recent, "nothing of it entered memory"
    assert torch.allclose(broken.tracks[1].logits, healthy.tracks[1].logits, atol=0.05)
    assert broken.tracks[1].track_id == second


def test_frames_out_of_order_or_of_another_shape_are_refused(tracker: Sam2Tracker) -> None:
    state, _ = tracker.add(tracker.init_state(), frame(5), None, blob())
    with pytest.raises(BadFrame, match="expected a frame after"):
        tracker.step(state, frame(4))
    with pytest.raises(BadFrame, match="of the shape of 64x48, got 48x64"):
        tracker.step(state, frame(6, (64, 48)))
    state, (region,) = tracker.step(state, frame(6, (96, 128)))
    assert region.mask.size == (96, 128), "the same shape at another size is fine"


def test_a_small_budget_refuses_what_does_not_fit(networks: Sam2Networks) -> None:
    plenty = Sam2Tracker(networks)
    state, _ = plenty.add(plenty.init_state(), frame(0), None, blob())
    state = run(plenty, state, 0, 20)
    budget = 12 * state_bytes(state)
    tracker = Sam2Tracker(networks, Sam2Config(max_tracks=1000, state_budget_bytes=budget))
    state, count = tracker.init_state(), 0
    with pytest.raises(PromptError, match="raise state_budget_bytes"):
        for count in range(100):
            state, _ = tracker.add(state, frame(0), None, blob(count % 40))
    assert 4 < len(state.tracks) == count
    state = run(tracker, state, 0, 20)
    assert state_bytes(state) <= budget and len(state.tracks) == count


def test_too_many_masklets_are_refused(networks: Sam2Networks) -> None:
    tracker = Sam2Tracker(networks, Sam2Config(max_tracks=1))
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    with pytest.raises(PromptError, match="at most 1 masklets"):
        tracker.add(state, frame(0), None, blob())


def test_a_thin_mask_survives_the_model_grid(tracker: Sam2Tracker) -> None:
    line = np.zeros((480, 640), bool)
    line[100, 50:300] = True
    state, _ = tracker.add(tracker.init_state(), frame(0, (480, 640)), None, line)
    state, (region,) = tracker.step(state, frame(0, (480, 640)))
    assert region.mask.area > 0


def test_loading_refuses_what_is_no_tracker(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="hub id or a folder"):
        load_model(tmp_path / "absent")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(AssetError, match="got bert"):
        load_model(tmp_path)
    (tmp_path / "broken.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(AssetError, match="SAM 2 checkpoint"):
        load_model(tmp_path / "broken.pt")
    torch.save({"model": {"weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(AssetError, match="state dict of a SAM 2 model"):
        load_model(tmp_path / "other.pt")


def test_nonsense_bounds_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        Sam2Config(max_batch=0)
