"""Live video: camera -> consumer latency, and what a slow consumer sees, beside stock aiortc.

    python -m benchmarks.webrtc_latency --json --quick

A camera that pans over a photograph publishes over loopback WebRTC (real ICE, DTLS and SRTP; no
STUN) to the receivers in turn, block by block, so that all meet the same load of the machine:
`foveal` is `devices.webrtc` up to the RGB frame in the consumer's hands, `aiortc` is aiortc's own
`track.recv()` (its conversion to RGB is not counted), `pipecat` and `fastrtc` are measured where
they are installed (benchmarks/webrtc_receivers.py). A frame's latency runs from the moment the
camera handed it over, so encoding is in it.

Slow consumer: a camera at 30 fps, 2 frames a second used; the age is that of the frame when its
use ends, so the service time of 500 ms is in it; memory growth is over the second half of the run,
in a process of its own that holds both ends.
"""

import argparse
import asyncio
import functools
import gc
import logging
import multiprocessing
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import skimage.data
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.report import emit
from benchmarks.webrtc_receivers import Receiver, receivers
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from stream.frame import Image
from tests.doubles.webrtc import PAN, NumberCamera, prefer

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


@asynccontextmanager
async def publishing(receiver: Receiver, camera: NumberCamera, mime: str) -> AsyncIterator[None]:
    """The camera is connected to the receiver within this block."""
    sender = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if receiver.needs_audio:
        sender.addTrack(AudioStreamTrack())
    sender.addTrack(camera)
    prefer(sender, mime)
    await sender.setLocalDescription(await sender.createOffer())
    answer = await receiver.answer(sender.localDescription.sdp)
    await sender.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    try:
        yield
    finally:
        await asyncio.gather(sender.close(), receiver.close())


async def latency(receiver: Receiver, case: Case, frames: int) -> list[int]:
    """Latencies in ns of `frames` frames after the warm-up."""
    camera = NumberCamera(case.fps, {0: SIZE}, scene(SIZE))
    found: list[int] = []
    async with publishing(receiver, camera, case.mime):
        async for number in receiver.numbers():
            now_ns = camera.now_ns()
            if number >= WARM_UP:
                found.append(now_ns - camera.shots[number])
            if len(found) >= frames:
                break
    return found


async def compare(cases: list[Case], seconds: float, blocks: int) -> dict[str, dict[str, float]]:
    """All cases, the receivers taking turns in random order within each block."""
    order = random.Random(7)
    makers = receivers()
    results: dict[str, dict[str, float]] = {name: {} for name in makers}
    for case in cases:
        samples = {name: Samples() for name in makers}
        frames = max(4, round(seconds * case.fps / blocks))
        for _ in range(blocks):
            turn = list(makers)
            order.shuffle(turn)
            for name in turn:
                samples[name].ns += await latency(makers[name](case.fps), case, frames)
        for name, sample in samples.items():
            results[name].update(sample.metrics(case.prefix))
            print(f"{case.mime} {case.fps} fps {name}: {sample.metrics('')}", file=sys.stderr)
    return results


async def slow_consumer(receiver: Receiver, seconds: float) -> dict[str, float]:
    """Use one frame per SERVICE_S for so long; age of the last one, growth of memory."""
    camera = NumberCamera(30, {0: SLOW_SIZE}, scene(SLOW_SIZE))
    clock = MonotonicClock()
    age_ns, half_mb = 0, 0.0
    async with publishing(receiver, camera, "video/VP8"):
        async for number in receiver.numbers():
            if not half_mb and clock.now_ns() > seconds * NS_PER_S / 2:
                half_mb = resident_mb()
            await asyncio.sleep(SERVICE_S)
            age_ns = camera.now_ns() - camera.shots[number]
            if clock.now_ns() > seconds * NS_PER_S:
                break
        return {
            "slow_age_ms": round(age_ns / NS_PER_MS, 1),
            "slow_growth_mb": round(resident_mb() - half_mb, 1),
        }


def slow_process(name: str, seconds: float, queue: Any) -> None:
    """Measure one receiver in a process of its own: memory is the process's."""
    quiet()

    async def run() -> dict[str, float]:
        return await slow_consumer(receivers(freshest=True)[name](30), seconds)

    gc.collect()
    queue.put(asyncio.run(run()))


def slow(name: str, seconds: float) -> dict[str, float]:
    """`slow_consumer` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=slow_process, args=(name, seconds, queue))
    process.start()
    result: dict[str, float] = queue.get(timeout=seconds + 60)
    process.join()
    return result


def quiet() -> None:
    """No log lines between the figures; pipecat logs through loguru."""
    logging.disable(logging.WARNING)
    with suppress(ImportError):
        import_module("loguru").logger.remove()


@functools.cache
def scene(size: tuple[int, int]) -> Image:
    """A photograph somewhat larger than the picture, for the camera to pan over."""
    width, height = size[0] + PAN, size[1] + PAN
    scale = max(width / 512, height / 512)
    photo = cv2.resize(skimage.data.astronaut(), None, fx=scale, fy=scale)
    return np.ascontiguousarray(photo[:height, :width])


def resident_mb() -> float:
    """Resident memory of this process in MiB."""
    return float(psutil.Process().memory_info().rss) / 2**20


def main() -> int:
    """Run and print; 0 when the goals are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--data", type=Path, help="unused: the camera is rendered")
    args = parser.parse_args()
    quiet()
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
