"""Live video: camera -> consumer latency, and what a slow consumer sees, beside stock aiortc.

    python -m benchmarks.webrtc_latency --json --quick

A camera that pans over a photograph publishes over loopback WebRTC (real ICE, DTLS and SRTP; no
STUN) to two receivers in turn, block by block, so that both meet the same load of the machine:
`aiortc` is aiortc's own `track.recv()`, `foveal` is `devices.webrtc` up to the RGB frame in the
consumer's hands (the peer's conversion to RGB is not counted). A frame is known by its timestamp;
its latency runs from the moment the camera handed it over, so encoding is in it. Slow consumer: a
camera at 30 fps, 2 frames a second used; the age is that of the frame when its use ends, so the
service time of 500 ms is in it; memory growth is over the second half of the run, in a process of
its own that holds both ends.
"""

import argparse
import asyncio
import functools
import gc
import logging
import multiprocessing
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from benchmarks.report import emit
from devices.webrtc.connection import PeerConnection
from devices.webrtc.fakes import PAN, NumberCamera, prefer
from devices.webrtc.policy import FramePolicy, ReceiveOptions
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from stream.frame import Image

SIZE = (504, 896)  # width, height: a wearable's portrait stream
SLOW_SIZE = (640, 480)
WARM_UP = 3  # frames: connection, first keyframe
SERVICE_S = 0.5
GOAL = {
    "p50_ms": "<= 0.35x aiortc at 15 fps VP8",
    "slow_age_ms": "<= one frame interval + service time + p95 latency",
    "slow_growth_mb": "<= 4",
}
MAX_RATIO = 0.35
MAX_GROWTH_MB = 4.0


@dataclass(frozen=True, slots=True)
class Case:
    """One stream."""

    fps: int
    mime: str

    @property
    def prefix(self) -> str:
        """Metric prefix; the headline case has none."""
        if (self.fps, self.mime) == (15, "video/VP8"):
            return ""
        return f"{self.mime.split('/')[1].lower()}_{self.fps}fps_"


@dataclass(slots=True)
class Samples:
    """Latencies of one method and case."""

    ns: list[int] = field(default_factory=list)

    def metrics(self, prefix: str) -> dict[str, float]:
        """p50 and p95 in milliseconds."""
        p50, p95 = np.percentile(np.array(self.ns) / NS_PER_MS, [50, 95])
        return {f"{prefix}p50_ms": round(float(p50), 1), f"{prefix}p95_ms": round(float(p95), 1)}


Consume = Callable[[Any, Any], AsyncIterator[int]]  # yields each frame's time line position in ns


async def stock_frames(connection: Any, track: Any) -> AsyncIterator[int]:
    """aiortc's own way."""
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        yield int(frame.pts * frame.time_base * NS_PER_S)


async def foveal_frames(connection: Any, track: Any) -> AsyncIterator[int]:
    """This project's way, RGB conversion included."""
    async for frame in connection.video_source(track).frames():
        yield frame.pts_ns


@dataclass(frozen=True, slots=True)
class Method:
    """A receiver under test."""

    name: str
    connect: Callable[[], Any]
    frames: Consume


def methods(policy: FramePolicy) -> list[Method]:
    """The receivers, foveal with the given policy."""
    clock, options = MonotonicClock(), ReceiveOptions(policy)
    return [
        Method("aiortc", lambda: RTCPeerConnection(RTCConfiguration(iceServers=[])), stock_frames),
        Method("foveal", lambda: PeerConnection(clock, options), foveal_frames),
    ]


@asynccontextmanager
async def connected(method: Method, camera: NumberCamera, mime: str) -> AsyncIterator[Any]:
    """(receiving connection, its video track), publishing until the end of the block."""
    sender = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    sender.addTrack(camera)
    prefer(sender, mime)
    receiver = method.connect()
    tracks: list[Any] = []
    receiver.on("track", tracks.append)
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await receiver.setLocalDescription(await receiver.createAnswer())
    await sender.setRemoteDescription(receiver.localDescription)
    try:
        yield receiver, tracks[0]
    finally:
        await asyncio.gather(sender.close(), receiver.close())


async def latency(method: Method, case: Case, frames: int) -> list[int]:
    """Latencies in ns of `frames` frames after the warm-up."""
    camera = NumberCamera(case.fps, {0: SIZE}, scene(SIZE))
    found: list[int] = []
    async with connected(method, camera, case.mime) as (connection, track):
        async for pts_ns in method.frames(connection, track):
            now_ns = camera.now_ns()
            number = round(pts_ns * case.fps / NS_PER_S)
            if number >= WARM_UP:
                found.append(now_ns - camera.shots[number])
            if len(found) >= frames:
                break
    return found


async def compare(cases: list[Case], seconds: float, blocks: int) -> dict[str, dict[str, float]]:
    """All cases, the receivers taking turns in random order within each block."""
    order = random.Random(7)
    results: dict[str, dict[str, float]] = {"foveal": {}, "aiortc": {}}
    for case in cases:
        samples = {name: Samples() for name in results}
        frames = max(4, round(seconds * case.fps / blocks))
        for _ in range(blocks):
            turn = methods(FramePolicy.AUTO)
            order.shuffle(turn)
            for method in turn:
                samples[method.name].ns += await latency(method, case, frames)
        for name, sample in samples.items():
            results[name].update(sample.metrics(case.prefix))
            print(f"{case.mime} {case.fps} fps {name}: {sample.metrics('')}", file=sys.stderr)
    return results


async def slow_consumer(method: Method, seconds: float) -> dict[str, float]:
    """Use one frame per SERVICE_S for so long; age of the last one, growth of memory."""
    camera = NumberCamera(30, {0: SLOW_SIZE}, scene(SLOW_SIZE))
    clock = MonotonicClock()
    age_ns, start_mb = 0, 0.0
    async with connected(method, camera, "video/VP8") as (connection, track):
        async for pts_ns in method.frames(connection, track):
            if not start_mb and clock.now_ns() > seconds * NS_PER_S / 2:
                start_mb = resident_mb()
            await asyncio.sleep(SERVICE_S)
            age_ns = camera.now_ns() - camera.shots[round(pts_ns * 30 / NS_PER_S)]
            if clock.now_ns() > seconds * NS_PER_S:
                break
        return {
            "slow_age_ms": round(age_ns / NS_PER_MS, 1),
            "slow_growth_mb": round(resident_mb() - start_mb, 1),
        }


def slow_process(name: str, seconds: float, queue: Any) -> None:
    """Measure one receiver in a process of its own: memory is the process's."""
    logging.disable(logging.WARNING)
    method = next(m for m in methods(FramePolicy.FRESHEST) if m.name == name)
    gc.collect()
    queue.put(asyncio.run(slow_consumer(method, seconds)))


def slow(name: str, seconds: float) -> dict[str, float]:
    """`slow_consumer` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=slow_process, args=(name, seconds, queue))
    process.start()
    result: dict[str, float] = queue.get(timeout=seconds + 60)
    process.join()
    return result


@functools.cache
def scene(size: tuple[int, int]) -> Image:
    """A photograph somewhat larger than the picture, for the camera to pan over."""
    width, height = size[0] + PAN, size[1] + PAN
    scale = max(width / 512, height / 512)
    photo = cv2.resize(skimage.data.astronaut(), None, fx=scale, fy=scale)
    return np.ascontiguousarray(photo[:height, :width])


def resident_mb() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Run and print; 0 when the goals are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--data", type=Path, help="unused: the camera is rendered")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    rates = (2, 7, 15, 30)
    cases = [Case(fps, "video/VP8") for fps in rates]
    cases += [Case(fps, "video/H264") for fps in ((15,) if args.quick else rates)]
    results = asyncio.run(compare(cases, 4.0 if args.quick else 24.0, 2 if args.quick else 4))
    for name, row in results.items():
        row.update(slow(name, 24.0 if args.quick else 60.0))
    ours, stock = results["foveal"], results["aiortc"]
    ours["ratio"] = round(ours["p50_ms"] / stock["p50_ms"], 3)
    bound_ms = 1000 / 30 + 1000 * SERVICE_S + ours["vp8_30fps_p95_ms"]
    met = (
        ours["ratio"] <= MAX_RATIO
        and ours["slow_age_ms"] <= bound_ms
        and ours["slow_growth_mb"] <= MAX_GROWTH_MB
    )
    emit("webrtc_latency", results, GOAL, met)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
