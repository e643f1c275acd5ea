"""The replay benchmark: its source, its memory slope and what it counts."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from benchmarks.replay import (
    EVERY_S,
    FIRST_QUESTION_S,
    FirstFrames,
    Watch,
    growth,
    judge,
    questions,
)
from stream.clock import VirtualClock
from stream.events import Answer, AnswerEvent, Region
from stream.frame import Frame, Keyframe
from stream.geometry import encode_mask
from stream.sources.reader import Faults, SourceInfo
from stream.timing.trace import Tracer

STEP_NS = 100_000_000


class ThreeFrames:
    """A reader of three frames."""

    def __init__(self) -> None:
        self.faults = Faults()

    def info(self) -> SourceInfo:
        return SourceInfo(8, 8, 3, 3 * STEP_NS, Fraction(10))

    def read(self, start_ns: int) -> Iterator[Frame]:
        for index in range(3):
            yield frame(index)


class Nothing:
    """A sink that takes everything."""

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        return

    def event(self, event: AnswerEvent) -> None:
        return

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        return


def frame(index: int) -> Frame:
    return Frame(index * STEP_NS, 0, np.zeros((8, 8, 3), np.uint8), "test")


async def test_a_clip_is_looped_to_the_wanted_length_and_decoding_is_traced() -> None:
    tracer = Tracer()
    source = FirstFrames(ThreeFrames(), 8, VirtualClock(), tracer)
    times = [frame.pts_ns async for frame in source.frames()]
    assert times == [index * STEP_NS for index in range(8)]
    assert tracer.summary()["decode"].count >= 8


def test_growth_is_the_slope_after_the_warm_up() -> None:
    rng = np.random.default_rng(0)
    warm = np.linspace(0, 5e8, 40)  # what models take when they first run
    steady = 5e8 + 1000 * np.arange(160)
    steady[::7] += 4e6  # passing peaks
    samples = np.concatenate([warm, steady + rng.normal(0, 50, 160)]).astype(np.int64)
    assert abs(growth(samples) - 1000) < 20
    assert growth(np.full(100, 7, np.int64)) == 0.0
    assert growth(np.array([5], np.int64)) == 0.0


def test_a_short_loop_is_not_judged_by_its_growth() -> None:
    rows = {"foveal": {"fps": 11.0}, "foveal-loop": {"growth_bytes_per_frame": 900.0}}
    goal, met = judge(rows, 0.5)
    assert met is None and "not measured" in goal["growth_bytes_per_frame"]
    assert judge({**rows, "foveal": {"fps": 9.0}}, 0.5)[1] is False
    assert judge(rows, 30.0)[1] is False
    rows["foveal-loop"]["growth_bytes_per_frame"] = 5.0
    assert judge(rows, 30.0)[1] is True and judge(rows, 0.5)[1] is None


def test_questions_come_now_and_then() -> None:
    asked = [question.asked_ns / 1e9 for question in questions(60.0)]
    assert asked[0] == FIRST_QUESTION_S and set(np.diff(asked)) == {EVERY_S}
    assert asked[-1] < 60.0


def test_masklets_alive_and_in_view_are_told_apart() -> None:
    square = np.zeros((8, 8), bool)
    square[2:5, 2:5] = True
    seen = Region(1, 0, encode_mask(square), (2, 2, 5, 5), 0.9)
    lost = Region(2, 0, encode_mask(square & False), None, 0.0)
    watch = Watch(Nothing(), 20)
    for index in range(20):
        watch.frame(frame(index), (seen, lost), None)
    figures = watch.figures()
    assert figures["tracks"] == 2.0 and figures["in_view"] == 1.0 and figures["peak_rss_mb"] > 10
