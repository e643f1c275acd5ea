"""How many live cameras one box receives: age of the frames and processor time against sessions.

    python -m benchmarks.webrtc_capacity --json [--quick] [--sessions 1,4,8,16]

Cameras (aiortc, 15 fps VP8 at 504x896, encoded beforehand, so that they cost little) publish by
WHIP from a process of their own to this one, which receives, decrypts, decodes and converts every
frame to RGB. Age: from the last packet sent of the frame (by RTCP reports) to the RGB frame.
Processor time is this process's alone, so it holds on a busy machine too: `sessions_per_core` is
what one core could receive if nothing else ran on it. No model runs here.
"""

import argparse
import asyncio
import itertools
import logging
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from aiohttp import web
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)

from benchmarks.report import emit
from benchmarks.webrtc_latency import SIZE, scene
from devices.http.gate import GateConfig
from devices.whip.endpoint import SDP, SignalConfig, SignalServer, build_app
from devices.whip.session import PeerSession
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from tests.doubles.webrtc import draw_number, prefer

FPS = 15
LOOP_FRAMES = 45  # a keyframe every three seconds
MIN_SESSIONS_PER_CORE = 8.0  # half of a core stays for everything else at the usual four
SETTLE_S = 3.0  # connecting, and the first RTCP report
GOAL = {"sessions_per_core": f">= {MIN_SESSIONS_PER_CORE:.0f}"}


def encode_loop() -> list[bytes]:
    """VP8 frames that may be repeated without end: the first is a keyframe."""
    codec: Any = av.CodecContext.create("libvpx", "w")
    codec.width, codec.height = SIZE
    codec.pix_fmt, codec.time_base, codec.bit_rate = "yuv420p", Fraction(1, FPS), 1_000_000
    codec.gop_size = LOOP_FRAMES
    codec.options = {"deadline": "realtime", "cpu-used": "-6", "lag-in-frames": "0"}
    frames: list[bytes] = []
    for number in range(LOOP_FRAMES):
        picture = av.VideoFrame.from_ndarray(
            draw_number(number, *SIZE, scene(SIZE)), format="rgb24"
        ).reformat(format="yuv420p")
        picture.pts, picture.time_base = number, Fraction(1, FPS)
        frames.append(b"".join(bytes(packet) for packet in codec.encode(picture)))
    return frames


class EncodedCamera(MediaStreamTrack):  # type: ignore[misc]  # aiortc is untyped here
    """Sends ready-made VP8 frames by absolute deadline."""

    kind = "video"

    def __init__(self, frames: list[bytes], clock: MonotonicClock) -> None:
        super().__init__()
        self._frames = itertools.cycle(frames)
        self._clock = clock
        self._origin_ns: int | None = None
        self._number = -1

    async def recv(self) -> Any:
        """The next frame, when it is due."""
        self._origin_ns = self._origin_ns or self._clock.now_ns()
        self._number += 1
        await self._clock.sleep_until(self._origin_ns + self._number * NS_PER_S // FPS)
        packet = av.Packet(next(self._frames))
        packet.pts, packet.time_base = self._number, Fraction(1, FPS)
        return packet


async def publish(url: str, count: int, seconds: float) -> None:
    """Run `count` cameras against the endpoint for so long."""
    frames, clock = encode_loop(), MonotonicClock()
    connections = []
    async with aiohttp.ClientSession() as http:
        for _ in range(count):
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            connection.addTransceiver(EncodedCamera(frames, clock), direction="sendonly")
            prefer(connection, "video/VP8")
            await connection.setLocalDescription(await connection.createOffer())
            offer = connection.localDescription.sdp
            response = await http.post(url, data=offer, headers={"Content-Type": SDP})
            answer = RTCSessionDescription(await response.text(), "answer")
            await connection.setRemoteDescription(answer)
            connections.append(connection)
    await asyncio.sleep(SETTLE_S + seconds)
    await asyncio.gather(*(connection.close() for connection in connections))


class Meter:
    """Ages of all frames of all sessions, once it runs."""

    def __init__(self) -> None:
        self.running = False
        self.ages_ns: list[int] = []
        self.sessions = 0

    async def watch(self, session: PeerSession) -> None:
        """Session handler: use every frame at once."""
        assert session.video is not None
        self.sessions += 1
        async for frame in session.video.frames():
            sent_ns = session.video.capture_unix_ns(frame.pts_ns)
            if self.running and sent_ns is not None:
                self.ages_ns.append(time.time_ns() - sent_ns)


async def measure(count: int, seconds: float) -> dict[str, float]:
    """One number of sessions."""
    meter = Meter()
    config = SignalConfig(max_sessions=count, gate=GateConfig(burst=1000))
    runner = web.AppRunner(build_app(SignalServer(config, meter.watch, MonotonicClock())))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/whip"
    command = [sys.executable, "-m", "benchmarks.webrtc_capacity", "--publish", url]
    arguments = ["--sessions", str(count), "--seconds", str(seconds)]
    sender = subprocess.Popen([*command, *arguments])
    while meter.sessions < count:
        await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_S)
    meter.running, begin, used = True, time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    meter.running, elapsed = False, time.perf_counter() - begin
    used = time.process_time() - used
    await asyncio.to_thread(sender.wait)
    await runner.cleanup()
    return summary(np.array(meter.ages_ns), count, elapsed, used)


def summary(ages_ns: Any, count: int, elapsed_s: float, used_s: float) -> dict[str, float]:
    """Metrics of one number of sessions."""
    p50, p95 = np.percentile(ages_ns / NS_PER_MS, [50, 95])
    per_frame_ms = 1000 * used_s / len(ages_ns)
    return {
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "fps": round(len(ages_ns) / elapsed_s / count, 1),
        "cpu_ms_per_frame": round(per_frame_ms, 2),
        "sessions_per_core": round(1000 / (FPS * per_frame_ms), 1),
    }


def main() -> int:
    """Run and print; 0 when the goal is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="1 and 4 sessions, 5 s each")
    parser.add_argument("--data", type=Path, help="unused: the camera is rendered")
    parser.add_argument("--sessions", help="numbers of sessions, with commas")
    parser.add_argument("--seconds", type=float, help="time per number of sessions")
    parser.add_argument("--publish", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    seconds = args.seconds or (5.0 if args.quick else 15.0)
    if args.publish:
        asyncio.run(publish(args.publish, int(args.sessions), seconds))
        return 0
    counts = args.sessions or ("1,4" if args.quick else "1,2,4,8,12,16")
    results = {}
    for count in map(int, counts.split(",")):
        results[f"foveal-{count}"] = asyncio.run(measure(count, seconds))
        print(count, results[f"foveal-{count}"], file=sys.stderr, flush=True)
    met = all(row["sessions_per_core"] >= MIN_SESSIONS_PER_CORE for row in results.values())
    emit("webrtc_capacity", results, GOAL, met)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
