"""What is read from memory, against the published rules followed over a whole history."""

import numpy as np
import pytest
import torch

from perception.sam2_tracking.distractors import stands_apart
from perception.sam2_tracking.policies import MemoryRules, Outcome
from perception.sam2_tracking.state import Memory, Sam2Config, Sam2Track

MEMORIES = 6
NONE = torch.zeros(0)


def logits(area: int) -> torch.Tensor:
    out = torch.full((8, 8), -1.0)
    out.view(-1)[:area] = 1.0
    return out


def started() -> Sam2Track:
    return Sam2Track(1, (Memory(0, NONE, NONE),), (), (), 0, logits(9), 5.0, 1.0)


def outcome(area: int, quality: float = 0.9, distractor: bool = False) -> Outcome:
    presence = 5.0 if area else -5.0
    return Outcome(logits(area), NONE, NONE, presence, quality, distractor=distractor)


def read(rules: MemoryRules, track: Sam2Track, index: int) -> tuple[list[int], list[int]]:
    fixed, recent = rules.conditioning(track, index), rules.recent(track, index)
    return [m.index for m in fixed], [m.index for m in recent]


def samurai(index: int, good: set[int]) -> list[int]:
    """Frames that samurai's `_prepare_memory_conditioned_features` takes at a frame."""
    valid = [one for one in range(2, index) if one in good]
    if index > 1 and index - 1 not in valid:
        valid.append(index - 1)
    return valid[-MEMORIES:]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 1.0])
def test_samurai_reads_good_frames_and_the_one_before(share: float) -> None:
    rules = MemoryRules(Sam2Config(policy="samurai"), MEMORIES, 15)
    draws = np.random.default_rng(3).random(60) < share
    good, track = {index for index in range(1, 60) if draws[index]}, started()
    for index in range(1, 60):
        assert read(rules, track, index)[1] == samurai(index, good)
        quality = 0.9 if index in good else 0.4
        track = rules.updated(track, outcome(9, quality), index)
        assert read(rules, track, index)[1] == samurai(index, good), "as a correction reads"
        assert len(track.recent) <= MEMORIES + 1


def dam4sam(index: int, visible: set[int], anchors: list[int], limit: int) -> tuple[list[int], ...]:
    """Frames that DAM4SAM's `_prepare_memory_conditioned_features` takes at a frame."""
    late = [one for one in anchors[1:][-(limit - 1) :] if one != index - 1]
    fixed = anchors[:1] + late
    free = [one for one in sorted(visible) if one < index and one not in fixed]
    free = [one for one in free if one not in anchors or one == index - 1]
    newest = free[-1:]
    older = [one for one in free[:-1] if one % 5 == 0]
    return fixed, [*older, *newest][-(MEMORIES + 1 - len(fixed)) :]


@pytest.mark.parametrize(("seen", "apart"), [(1.0, 0.0), (1.0, 0.3), (0.6, 0.3), (0.3, 0.8)])
def test_dam4sam_reads_seven_memories_in_all(seen: float, apart: float) -> None:
    config = Sam2Config(policy="dam4sam")
    rules, rng = MemoryRules(config, MEMORIES, 15), np.random.default_rng(4)
    visible, anchors, track = set[int](), [0], started()
    for index in range(1, 80):
        found = read(rules, track, index)
        assert found == dam4sam(index, visible, anchors, config.max_conditioning)
        assert len(found[0]) + len(found[1]) <= MEMORIES + 1
        shown, distractor = rng.random() < seen, rng.random() < apart
        track = rules.updated(track, outcome(9 if shown else 0, distractor=distractor), index)
        rested = len(anchors) == 1 or index - anchors[-1] > config.anchor_gap
        if shown and distractor and rested and visible:
            anchors.append(index)
        visible |= {index} if shown else set()
        assert [m.index for m in track.prompted] == anchors[:1] + anchors[1:][-3:]
        assert len(track.recent) <= MEMORIES + 1
        assert {p.index for p in track.pointers} <= visible
    assert len(anchors) > 1 or not apart


def test_dam4sam_compares_with_the_last_ten_areas_of_300_frames() -> None:
    rules = MemoryRules(Sam2Config(policy="dam4sam"), MEMORIES, 15)
    track = started()
    for index, area in enumerate([40] * 10 + [0] * 5, start=1):
        track = rules.updated(track, outcome(area), index)
    later = rules.updated(track, outcome(10, distractor=True), 16)
    assert later.anchored is None, "a quarter of what it was"
    late = rules.updated(track, outcome(10, distractor=True), 330)
    assert [area for _, area in late.areas] == [10], "what lies far back does not count"
    again = rules.updated(late, outcome(11, distractor=True), 331)
    assert again.anchored == 331


def test_a_distractor_is_the_largest_part_beside_the_object() -> None:
    object_, twin, speck = (torch.full((32, 32), -1.0) for _ in range(3))
    object_[4:12, 4:12] = 1
    twin[4:12, 20:28] = 1
    speck[4:12, 4:14] = 1  # a rim of the object, and a dot far away that is smaller
    speck[30, 30] = 1
    assert stands_apart(object_, [twin], 0.7)
    assert not stands_apart(object_, [speck], 0.7)
    assert not stands_apart(object_, [object_], 0.7)
    assert not stands_apart(torch.full((32, 32), -1.0), [twin], 0.7)
