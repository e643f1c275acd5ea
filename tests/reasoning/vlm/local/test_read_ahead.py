"""Readings of keyframes: kept while their view lives, one a session, made again where lost."""

import gc
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from perception.scene.reader import SceneView
from reasoning.vlm.local.network import Reading
from reasoning.vlm.local.read_ahead import ReadAhead, Views
from stream.errors import BackendError
from stream.frame import Frame
from tests.doubles.perception import FakeScene


def view(pts_ns: int) -> SceneView:
    return FakeScene().read(Frame(pts_ns, 0, np.zeros((8, 8, 3), np.uint8), "test"))


class Reads:
    """Counts what is read."""

    def __init__(self) -> None:
        self.times: list[tuple[int, ...]] = []
        self.fails = False

    def __call__(self, views: Views) -> Reading:
        self.times.append(tuple(one.frame.pts_ns for one in views))
        if self.fails:
            raise BackendError("expected memory, found none")
        return Reading(DynamicCache(), torch.zeros(3), 0, 0)


def kept(ahead: ReadAhead) -> Any:
    return ahead._entries


def test_a_keyframe_is_read_once_for_all_its_questions() -> None:
    reads, key = Reads(), view(1)
    ahead = ReadAhead(reads)
    ahead.read((key,))
    first, second = ahead.read((key,)), ahead.read((key,))
    assert reads.times == [(1,)] and first is not second
    assert first.cache is not second.cache


def test_the_next_keyframe_takes_the_place_of_the_last() -> None:
    reads, keys = Reads(), [view(n) for n in range(5)]
    ahead = ReadAhead(reads)
    for number, key in enumerate(keys):
        former = tuple(keys[max(0, number - 3) : number])
        ahead.read((*former, key)[-2:], former)
        assert len(kept(ahead)) == 1
    assert reads.times == [(0,), (0, 1), (1, 2), (2, 3), (3, 4)]


def test_other_views_before_it_are_another_reading() -> None:
    reads, first, second = Reads(), view(1), view(2)
    ahead = ReadAhead(reads)
    ahead.read((first, second))
    ahead.read((second,))
    assert reads.times == [(1, 2), (2,)]


def test_nothing_outlives_its_view() -> None:
    ahead, key = ReadAhead(Reads()), view(1)
    ahead.read((key,))
    del key
    gc.collect()
    assert len(kept(ahead)) == 0


def test_a_reading_that_failed_is_tried_again() -> None:
    reads, key = Reads(), view(1)
    ahead = ReadAhead(reads)
    reads.fails = True
    with pytest.raises(BackendError):
        ahead.read((key,))
    reads.fails = False
    assert ahead.read((key,)).position == 0
