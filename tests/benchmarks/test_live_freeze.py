"""Ages of masks by time: what is old while nothing new is told."""

import asyncio

import numpy as np

from benchmarks.live_freeze import FPS, ClipCamera, Told, ages_by_time, figures
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock

MS = NS_PER_MS


def test_between_two_masks_the_older_one_ages() -> None:
    masks = [(100 * MS, 50 * MS), (200 * MS, 150 * MS), (1200 * MS, 1150 * MS)]
    ages = ages_by_time(masks, 100 * MS, 1300 * MS)
    assert len(ages) == 240
    assert ages[0] == 50 and ages[19] == 145  # just before the second comes
    assert ages.max() == 1195 - 150  # a freeze of a second
    told = Told(MonotonicClock(), masks, [1.5, 2.5])
    row = figures(told, 100 * MS, 1300 * MS)
    assert row["frame_p95_ms"] == 50  # which says nothing of it
    assert row["time_max_ms"] == 1045 and row["answer_p50_s"] == 2.0
    assert np.isclose(row["stale"] or 0, (ages > 300).mean(), atol=1e-4)


def test_a_mask_of_an_older_frame_makes_nothing_younger_or_older() -> None:
    masks = [(10 * MS, 5 * MS), (20 * MS, 1 * MS)]
    assert ages_by_time(masks, 20 * MS, 25 * MS).tolist() == [15.0]


def test_without_an_answer_there_is_no_time_of_one() -> None:
    row = figures(Told(MonotonicClock(), [(0, 0)]), 0, NS_PER_S)
    assert row["answers"] == 0 and row["answer_p50_s"] is None


async def test_the_camera_gives_the_newest_picture_once() -> None:
    pictures = [np.full((4, 4, 3), n, np.uint8) for n in range(3)]
    camera = ClipCamera(pictures, MonotonicClock())
    frames = camera.frames()
    first = await anext(frames)
    assert camera.newer() is None
    await asyncio.sleep(3.2 / FPS)
    later = camera.newer()
    assert later is not None and later.pts_ns >= 3 * NS_PER_S // FPS > first.pts_ns
    assert later.image[0, 0, 0] == later.pts_ns * FPS // NS_PER_S % 3
    await frames.aclose()  # type: ignore[attr-defined]
