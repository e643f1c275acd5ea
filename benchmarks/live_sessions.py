"""How many live sessions one box holds: age of the masks against the number of sessions.

    python -m benchmarks.live_sessions --json [--quick] [--sessions 1,2,4]

A real `foveal serve` with its real models, in a process of its own; cameras (aiortc, 15 fps VP8 at
504x896, encoded beforehand, so that they cost little) in another. Each camera keeps the time at
which it sent each frame and gets the masks back over its data channel: the age of a frame is from
its sending to the arrival of its masks, everything between included. Every session asks about the
middle of its picture first, so that there is something to follow: `masklets` is how many masks a
frame had. `used_fps` is how many frames a second of each session the models took; FRESHEST drops
the others. `server_p95_ms` is the age that the server itself told; `core_ms_per_frame` is the
server's processor time for each frame used, with all else it does meanwhile. The cameras' process
runs on the same cores.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.report import emit
from benchmarks.webrtc_capacity import FPS, EncodedCamera, encode_loop
from devices.whip.endpoint import SDP
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from tests.doubles.webrtc import prefer

MAX_AGE_MS = 300.0
MIN_SESSIONS = 2  # what `foveal serve` admits unless told otherwise
ANSWER_S = 60.0  # for the first question, and so for the first masklets
SETTLE_S = 3.0
SLOW_S = 1.0  # between frames until the models have taken one
GOAL = {"sessions": f">= {MIN_SESSIONS}"}


class StampedCamera(EncodedCamera):
    """Keeps when each frame was handed to the network.

    Until it is told to go it sends a frame a second, so that the one that the models take first,
    with which stream time begins, can be told from its neighbours.
    """

    def __init__(self, frames: list[bytes], clock: MonotonicClock) -> None:
        super().__init__(frames, clock)
        self.sent_ns: list[int] = []
        self.go = asyncio.Event()

    async def recv(self) -> Any:
        """The next frame, when it is due."""
        if self.sent_ns and not self.go.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.go.wait(), SLOW_S)
            self._origin_ns = self._clock.now_ns() - len(self.sent_ns) * NS_PER_S // FPS
        packet = await super().recv()
        self.sent_ns.append(time.perf_counter_ns())
        return packet


class Client:
    """One camera with its data channel; the ages of its masks."""

    def __init__(self, frames: list[bytes]) -> None:
        self.camera = StampedCamera(frames, MonotonicClock())
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTransceiver(self.camera, direction="sendonly")
        prefer(self.connection, "video/VP8")
        self.channel = self.connection.createDataChannel("foveal")
        self.channel.on("message", self._heard)
        self.channel.on("open", self._ask)
        self.answered = asyncio.Event()
        self.first: int | None = None  # the camera's number of the frame at stream time 0
        self.measuring = False
        self.ages_ms: list[float] = []
        self.masklets: list[int] = []  # in view, of each frame
        self.server_ages_ms: list[float] = []

    async def connect(self, url: str, http: aiohttp.ClientSession) -> None:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        async with http.post(url, data=offer, headers={"Content-Type": SDP}) as response:
            text = await response.text()
            if response.status != 201:
                raise SystemExit(f"expected 201 from {url}, got {response.status}: {text}")
        await self.connection.setRemoteDescription(RTCSessionDescription(text, "answer"))

    def _ask(self) -> None:
        question = {"v": 1, "type": "ask", "text": "What is this?", "point": [0.5, 0.5]}
        self.channel.send(json.dumps(question))

    def _heard(self, message: str) -> None:
        now_ns = time.perf_counter_ns()
        data = json.loads(message)
        if data["type"] in ("end", "refused"):
            self.answered.set()
        if data["type"] != "regions":
            return
        if self.first is None:
            self.first = self._nearest(now_ns - data["age_ms"] * NS_PER_MS)
            self.camera.go.set()
        number = self.first + round(data["pts_ms"] * FPS / 1000)
        if self.measuring and number < len(self.camera.sent_ns):
            self.ages_ms.append((now_ns - self.camera.sent_ns[number]) / NS_PER_MS)
            self.server_ages_ms.append(data["age_ms"])
            self.masklets.append(sum(one["mask"] is not None for one in data["regions"]))

    def _nearest(self, time_ns: int) -> int:
        """The frame that was sent nearest to a time."""
        sent = self.camera.sent_ns
        return min(range(len(sent)), key=lambda number: abs(sent[number] - time_ns))


async def publish(url: str, count: int, seconds: float) -> dict[str, Any]:
    """Run `count` cameras against the server for so long; the ages of all."""
    frames = encode_loop()
    clients = [Client(frames) for _ in range(count)]
    async with aiohttp.ClientSession() as http:
        for client in clients:
            await client.connect(f"{url}session", http)
    async with asyncio.timeout(ANSWER_S * count):
        await asyncio.gather(*(client.answered.wait() for client in clients))
    await asyncio.sleep(SETTLE_S)
    print("measuring", flush=True)
    for client in clients:
        client.measuring = True
    await asyncio.sleep(seconds)
    for client in clients:
        client.measuring = False
    print("measured", flush=True)
    await asyncio.gather(*(client.connection.close() for client in clients))
    return {
        "ages_ms": [age for client in clients for age in client.ages_ms],
        "server_ages_ms": [age for client in clients for age in client.server_ages_ms],
        "masklets": [number for client in clients for number in client.masklets],
        "fewest": min(len(client.ages_ms) for client in clients),
    }


@contextlib.contextmanager
def serving(max_sessions: int) -> Iterator[tuple[psutil.Process, str]]:
    """A `foveal serve` that is ready: (its process, its URL)."""
    options = ["--port", "0", "--max-sessions", str(max_sessions), "--resume", "0"]
    command = [sys.executable, "-m", "foveal.cli", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = ""
        try:
            for line in process.stdout:
                if line.startswith("Foveal listens on "):
                    url = line.split()[-1]
                elif line.startswith("ready"):
                    break
            else:
                raise SystemExit("expected a server that becomes ready, it ended")
            yield psutil.Process(process.pid), url
        finally:
            process.terminate()


def measure(server: psutil.Process, url: str, count: int, seconds: float) -> dict[str, float]:
    """One number of sessions."""
    command = [sys.executable, "-m", "benchmarks.live_sessions", "--publish", url]
    arguments = ["--sessions", str(count), "--seconds", str(seconds)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as cameras:
        assert cameras.stdout is not None
        used, begin = _processor_s(server), time.perf_counter()
        cores, line = 0.0, ""
        for line in cameras.stdout:
            if line.startswith("measuring"):
                used, begin = _processor_s(server), time.perf_counter()
            elif line.startswith("measured"):
                cores = (_processor_s(server) - used) / (time.perf_counter() - begin)
    if cameras.returncode:
        raise SystemExit(f"expected {count} cameras to publish, they ended: {line}")
    told = json.loads(line)
    return summary(told, count, seconds, cores, server.memory_info().rss)


def summary(
    told: dict[str, Any], count: int, seconds: float, cores: float, rss: int
) -> dict[str, float]:
    """Metrics of one number of sessions; a session without any masks makes the ages infinite."""
    if not told["fewest"]:
        return {"p50_ms": float("inf"), "p95_ms": float("inf"), "used_fps": 0.0}
    p50, p95 = np.percentile(told["ages_ms"], [50, 95])
    return {
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "server_p95_ms": round(float(np.percentile(told["server_ages_ms"], 95)), 1),
        "used_fps": round(len(told["ages_ms"]) / seconds / count, 1),
        "least_fps": round(told["fewest"] / seconds, 1),
        "masklets": round(float(np.mean(told["masklets"])), 1),
        "cores": round(cores, 2),
        "core_ms_per_frame": round(1000 * cores * seconds / len(told["ages_ms"]), 1),
        "rss_mb": round(rss / 2**20),
    }


def held(results: dict[str, dict[str, float]]) -> int:
    """The largest number of sessions whose masks are fresh enough."""
    fresh = [name for name, row in results.items() if row["p95_ms"] <= MAX_AGE_MS]
    return max((int(name.split("-")[1]) for name in fresh), default=0)


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run(counts: Sequence[int], seconds: float) -> dict[str, dict[str, float]]:
    """More and more sessions, until the masks are too old."""
    results: dict[str, dict[str, float]] = {}
    with serving(max(counts)) as (server, url):
        for count in counts:
            row = measure(server, url, count, seconds)
            results[f"foveal-{count}"] = row
            print(count, row, file=sys.stderr, flush=True)
            if row["p95_ms"] > MAX_AGE_MS:
                break
    results["foveal"] = {"sessions": float(held(results))}
    return results


def main() -> int:
    """Run and print; 0 when the goal is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="1 and 2 sessions, 8 s each")
    parser.add_argument("--data", type=Path, help="unused: the camera is rendered")
    parser.add_argument("--sessions", help="numbers of sessions, with commas")
    parser.add_argument("--seconds", type=float, help="time per number of sessions")
    parser.add_argument("--publish", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    seconds = args.seconds or (8.0 if args.quick else 30.0)
    if args.publish:
        print(json.dumps(asyncio.run(publish(args.publish, int(args.sessions), seconds))))
        return 0
    counts = args.sessions or ("1,2" if args.quick else "1,2,3,4,6,8")
    results = run([int(count) for count in counts.split(",")], seconds)
    met = results["foveal"]["sessions"] >= MIN_SESSIONS
    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    emit("live_sessions", results, GOAL, met, f"model threads: {threads}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
