"""The streaming tracker's own promises: bounded state, objects independent of another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.open import load_model, load_sam2_tracker
from perception.sam2_tracking.state import Sam2Config, state_bytes
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import ConfigError, PromptError
from stream.events import Region
from stream.geometry import decode_mask, mask_box
from tests.doubles.sam2_random import random_model, tiny_config
from tests.perception.sam2.sam2_rig import blob, frame, run


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


def test_regions_carry_mask_box_and_confidence(tracker: Sam2Tracker) -> None:
    state, track_id = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, (region,) = tracker.step(state, frame(0))
    assert (region.track_id, region.pts_ns) == (track_id, 0)
    assert region.box == mask_box(decode_mask(region.mask))
    assert (decode_mask(region.mask) == blob()).mean() > 0.95
    assert region.score > 0.99
    state, (region,) = tracker.step(state, frame(1))
    assert 0 < region.score < 1 and region.pts_ns == 1_000


def test_nothing_to_track_costs_nothing(tracker: Sam2Tracker) -> None:
    state, regions = tracker.step(tracker.init_state(), frame(0))
    assert regions == () and state.features is None and state_bytes(state) == 0


def test_state_size_is_flat_over_hundreds_of_frames(tracker: Sam2Tracker) -> None:
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, _ = tracker.add(state, frame(0), None, BoxPrompt((5, 5, 40, 40)))
    state = run(tracker, state, 0, 20)
    early = state_bytes(state)
    state = run(tracker, state, 20, 160)
    assert state_bytes(state) == early
    for track in state.tracks:
        assert len(track.recent) == 7 and len(track.pointers) == 16 and len(track.prompted) == 1


def test_the_same_frame_twice_is_one_frame(tracker: Sam2Tracker) -> None:
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, first = tracker.step(run(tracker, state, 0, 4), frame(4))
    again, second = tracker.step(state, frame(4))
    assert first == second and again is state


def test_steps_do_not_change_the_state_they_are_given(tracker: Sam2Tracker) -> None:
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 5)
    _, first = tracker.step(state, frame(5))
    _, second = tracker.step(state, frame(5))
    assert first == second


def follow(tracker: Sam2Tracker, others: int, late: int | None) -> list[Region]:
    """Regions of the first object while `others` start beside it, at frame `late` or at 0."""
    state, track_id = tracker.add(tracker.init_state(), frame(0), None, blob())
    found = []
    for index in range(12):
        if index == (late or 0):
            for other in range(others):
                state, _ = tracker.add(state, frame(index), None, blob(2 * other, other))
        state, regions = tracker.step(state, frame(index))
        found.append(next(region for region in regions if region.track_id == track_id))
    return found


def logits_alike(left: list[Region], right: list[Region]) -> bool:
    """Equal up to what batching does to the last bits."""
    same = [
        float((decode_mask(a.mask) == decode_mask(b.mask)).mean())
        for a, b in zip(left, right, strict=True)
    ]
    return min(same) > 0.99


@pytest.mark.parametrize("late", [None, 5])
def test_other_objects_do_not_disturb_one(tracker: Sam2Tracker, late: int | None) -> None:
    assert logits_alike(follow(tracker, 0, None), follow(tracker, 4, late))


def test_batches_of_any_size_agree(networks: Sam2Networks) -> None:
    small = Sam2Tracker(networks, Sam2Config(max_batch=2))
    assert logits_alike(follow(Sam2Tracker(networks), 6, 3), follow(small, 6, 3))


def test_remove_leaves_the_others(tracker: Sam2Tracker) -> None:
    state, first = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, second = tracker.add(state, frame(0), None, blob(30, 20))
    state = tracker.remove(run(tracker, state, 0, 3), first)
    state, regions = tracker.step(state, frame(3))
    assert [region.track_id for region in regions] == [second]
    with pytest.raises(PromptError, match="expected one of the masklets"):
        tracker.remove(state, first)
    state, third = tracker.add(state, frame(3), None, blob())
    assert third not in (first, second), "ids are not used twice"


def test_a_correction_replaces_the_frame_and_stays(tracker: Sam2Tracker) -> None:
    state, track_id = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 4)
    wanted = blob(40, 25)
    state = tracker.correct(state, frame(4), track_id, MaskPrompt(wanted))
    state, (region,) = tracker.step(state, frame(4))
    assert (decode_mask(region.mask) == wanted).mean() > 0.95
    (track,) = state.tracks
    assert [m.index for m in track.prompted] == [0, 4]
    assert all(m.index < 4 for m in track.recent)
    with_it, _ = tracker.step(state, frame(5))
    bare = run(tracker, tracker.add(tracker.init_state(), frame(0), None, blob())[0], 0, 6)
    assert not torch.allclose(with_it.tracks[0].logits, bare.tracks[0].logits, atol=1e-3)


def test_points_correct_a_frame(tracker: Sam2Tracker) -> None:
    state, track_id = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 4)
    prompt = PointsPrompt(((25.0, 15.0), (60.0, 40.0)), (True, False))
    corrected = tracker.correct(state, frame(3), track_id, prompt)
    assert not torch.equal(corrected.tracks[0].logits, state.tracks[0].logits)
    assert [m.index for m in corrected.tracks[0].prompted] == [0, 3]


def test_prompted_frames_are_capped_to_the_first_and_the_latest(networks: Sam2Networks) -> None:
    tracker = Sam2Tracker(networks, Sam2Config(max_conditioning=3))
    state, track_id = tracker.add(tracker.init_state(), frame(0), None, blob())
    for index in range(1, 7):
        state = tracker.correct(state, frame(index), track_id, MaskPrompt(blob(index)))
    assert [m.index for m in state.tracks[0].prompted] == [0, 5, 6]


def test_masks_can_be_kept_apart(networks: Sam2Networks) -> None:
    tracker = Sam2Tracker(networks, Sam2Config(exclusive=True))
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob(20, 10))
    state, _ = tracker.add(state, frame(0), None, blob(26, 14))
    for index in range(4):
        state, (first, second) = tracker.step(state, frame(index))
        assert not (decode_mask(first.mask) & decode_mask(second.mask)).any()


def test_samurai_keeps_only_good_frames(networks: Sam2Networks) -> None:
    picky = Sam2Tracker(networks, Sam2Config(policy="samurai", min_quality=2.0))
    state, _ = picky.add(picky.init_state(), frame(0), None, blob())
    state = run(picky, state, 0, 5)
    assert [m.index for m in state.tracks[0].recent if m.good] == []
    assert len(state.tracks[0].pointers) == 4
    easy = Sam2Config(policy="samurai", min_quality=0.0, stable_quality=0.0, stable_frames=2)
    open_ = Sam2Tracker(networks, easy)
    state, _ = open_.add(open_.init_state(), frame(0), None, blob())
    state = run(open_, state, 0, 9)
    (track,) = state.tracks
    assert [m.index for m in track.recent] == [2, 3, 4, 5, 6, 7, 8]
    assert track.motion is not None and track.motion.stable == 8


def test_dam4sam_keeps_every_fifth_frame_and_the_newest(networks: Sam2Networks) -> None:
    plain = Sam2Config(policy="dam4sam", anchor_quality=2.0)
    tracker = Sam2Tracker(networks, plain)
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 14)
    assert [m.index for m in state.tracks[0].recent] == [5, 10, 12, 13]
    assert [m.index for m in state.tracks[0].prompted] == [0]
    assert len(state.tracks[0].areas) == 10


def test_dam4sam_keeps_sure_frames_with_a_distractor_for_good(networks: Sam2Networks) -> None:
    easy = Sam2Config(
        policy="dam4sam",
        anchor_quality=0.0,
        anchor_gap=2,
        area_tolerance=99.0,
        distractor_iou=1.0,
        max_conditioning=3,
    )
    tracker = Sam2Tracker(networks, easy)
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 14)
    kept = [m.index for m in state.tracks[0].prompted]
    assert kept[0] == 0 and len(kept) == 3 and kept[2] - kept[1] == 3


def test_an_object_that_is_away_has_an_empty_region(networks: Sam2Networks) -> None:
    model = random_model(tiny_config(64, 64), seed=1)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(-50.0)
    tracker = Sam2Tracker(Sam2Networks(model))
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, _ = tracker.step(state, frame(0))
    state, (region,) = tracker.step(state, frame(1))
    assert region.box is None and region.score == 0.0 and region.mask.area == 0


def test_other_resolutions_load_from_the_same_folder(tmp_path: Path) -> None:
    random_model(tiny_config(), seed=1).save_pretrained(tmp_path)
    tracker = load_sam2_tracker(tmp_path, image_size=64)
    assert tracker.networks.image_size == 64
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 3)
    assert state.tracks[0].logits.shape == (16, 16)
    with pytest.raises(ConfigError, match="multiple of 64"):
        load_model(tmp_path, 100)


def test_bfloat16_stays_close(tmp_path: Path) -> None:
    random_model(tiny_config(), seed=1).save_pretrained(tmp_path)
    whole, half = (
        load_sam2_tracker(tmp_path),
        load_sam2_tracker(tmp_path, precision="bfloat16"),
    )
    logits = []
    for tracker in (whole, half):
        state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
        state = run(tracker, state, 0, 2)
        logits.append(state.tracks[0].logits)
    assert float((logits[0] - logits[1]).norm() / logits[0].norm()) < 0.1


def test_a_frame_of_another_shape_can_go_on(networks: Sam2Networks) -> None:
    tracker = Sam2Tracker(networks, Sam2Config(any_shape=True))
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state, (region,) = tracker.step(state, frame(1, (64, 48)))
    assert region.mask.size == (64, 48)
