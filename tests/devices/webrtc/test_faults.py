"""A bad network, a peer that dies, sessions that come and go."""

import asyncio
import gc
import os
import threading
from itertools import pairwise
from pathlib import Path

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.webrtc.receiver import ReceiveStats
from stream.clock import NS_PER_S
from stream.frame import Frame
from tests.doubles.webrtc import BadNetwork, Loopback, NumberCamera, read_number

FPS = 30


async def watch(
    network: BadNetwork, seconds: float, outage_at_s: float | None = None, outage_s: float = 0.0
) -> tuple[list[Frame], ReceiveStats, int]:
    """(frames received, stats, frames made) over a bad network."""
    camera = NumberCamera(FPS)
    loopback = Loopback(camera, ReceiveOptions(FramePolicy.EVERY_FRAME))
    frames: list[Frame] = []
    async with loopback as source:
        loop = asyncio.get_running_loop()
        async for frame in source.frames():
            if not frames:
                network.attach(loopback.sender)
                loop.call_later(seconds, loopback.receiver.getReceivers()[0].pipeline.close)
                if outage_at_s is not None:
                    loop.call_later(outage_at_s, setattr, network, "down", True)
                    loop.call_later(outage_at_s + outage_s, setattr, network, "down", False)
            frames.append(frame)
        return frames, source.stats(), len(camera.shots)


def check_pictures(frames: list[Frame]) -> None:
    """In order, and each shows what its timestamp says: no smeared or misplaced picture."""
    numbers = [round(frame.pts_ns * FPS / NS_PER_S) for frame in frames]
    assert all(b > a for a, b in pairwise(numbers))
    assert [read_number(frame.image) for frame in frames] == numbers


async def test_loss_costs_frames_but_never_a_wrong_picture() -> None:
    network = BadNetwork(loss=0.2, seed=3)
    frames, _, made = await watch(network, 1.0)
    check_pictures(frames)
    assert len(frames) >= 0.6 * made
    assert made - round(frames[-1].pts_ns * FPS / NS_PER_S) < FPS  # still live at the end


async def test_reordering_jitter_and_duplicates_cost_nothing() -> None:
    network = BadNetwork(jitter_ms=60, duplicates=0.2, seed=4)
    frames, stats, made = await watch(network, 1.0)
    check_pictures(frames)
    assert len(frames) >= made - 5  # the last ones were on their way
    assert stats.dropped.get("lost-packet", 0) == 0
    assert stats.decode_errors == 0


async def test_a_short_outage_is_repaired_by_retransmission() -> None:
    network = BadNetwork(seed=5)
    frames, stats, made = await watch(network, 1.1, outage_at_s=0.15, outage_s=0.6)
    check_pictures(frames)
    assert network.lost >= FPS // 2
    assert len(frames) >= made - 5
    assert stats.dropped.get("lost-packet", 0) == 0


async def test_after_an_outage_the_picture_comes_back_with_a_keyframe() -> None:
    network = BadNetwork(seed=5, retransmits=False)
    frames, stats, made = await watch(network, 1.9, outage_at_s=0.2, outage_s=0.7)
    check_pictures(frames)
    numbers = [round(frame.pts_ns * FPS / NS_PER_S) for frame in frames]
    gap = max(b - a for a, b in pairwise(numbers))
    assert FPS * 0.6 <= gap <= FPS * 1.6  # 0.7 s out, then the wait for the gap and a keyframe
    assert numbers[-1] >= made - 5
    assert stats.keyframe_requests > 0
    assert stats.dropped["lost-packet"] > 0


async def test_sessions_that_come_and_go_leave_nothing_behind() -> None:
    async def visit() -> None:
        async with Loopback(NumberCamera(FPS)) as source:
            async for _ in source.frames():
                break

    def counts() -> tuple[int, int, int]:
        gc.collect()
        descriptors = len(list(Path("/proc/self/fd").iterdir())) if os.name == "posix" else 0
        return len(asyncio.all_tasks()), threading.active_count(), descriptors

    await visit()
    await asyncio.sleep(0.1)
    before = counts()
    for _ in range(6):
        await visit()
    await asyncio.sleep(0.1)
    tasks, threads, descriptors = (now - then for now, then in zip(counts(), before, strict=True))
    assert tasks <= 0
    assert descriptors <= 0
    assert threads <= 2  # the event loop's own pool for conversions may still grow
