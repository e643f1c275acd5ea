"""What a TURN server between camera and box costs: latency and processor time.

    python -m benchmarks.webrtc_turn --json [--quick]

The camera of benchmarks.webrtc_latency (15 fps VP8, 504x896) publishes directly, through a TURN
server by UDP, and through it by TCP: relayed addresses are the only ones it may use then. Server
(Debian's coturn), camera and box run on this machine, block by block in turn, so what a real
server's way adds comes on top. `core_ms` is processor time of camera and box for each frame.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from benchmarks.coturn import Coturn
from benchmarks.report import emit
from benchmarks.webrtc_latency import SIZE, WARM_UP, Samples, quiet, scene
from benchmarks.webrtc_receivers import FovealReceiver
from tests.doubles.webrtc import NumberCamera, prefer

FPS = 15
MAX_ADDED_MS = 10.0
GOAL = {"udp_added_p50_ms": f"<= {MAX_ADDED_MS:.0f}"}


async def latency(servers: Sequence[RTCIceServer], frames: int) -> tuple[list[int], float]:
    """Camera to RGB in ns of so many frames, and processor seconds of all of them."""
    camera, receiver = NumberCamera(FPS, {0: SIZE}, scene(SIZE)), FovealReceiver(FPS)
    policy = RTCIceTransportPolicy.RELAY if servers else RTCIceTransportPolicy.ALL
    sender = RTCPeerConnection(RTCConfiguration(list(servers), iceTransportPolicy=policy))
    sender.addTrack(camera)
    prefer(sender, "video/VP8")
    await sender.setLocalDescription(await sender.createOffer())
    answer = await receiver.answer(sender.localDescription.sdp)
    await sender.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    found: list[int] = []
    used = time.process_time()
    async for number in receiver.numbers():
        now_ns = camera.now_ns()
        if number < WARM_UP:
            used = time.process_time()
            continue
        found.append(now_ns - camera.shots[number])
        if len(found) >= frames:
            break
    used = time.process_time() - used
    await asyncio.gather(sender.close(), receiver.close())
    return found, used


async def compare(seconds: float, blocks: int) -> dict[str, dict[str, float]]:
    """The three ways in turn, `seconds` each in all."""
    with tempfile.TemporaryDirectory() as folder:
        async with Coturn(Path(folder)) as turn:
            ways = {"direct": [], "turn-udp": [turn.server()], "turn-tcp": [turn.server("tcp")]}
            samples = {name: Samples() for name in ways}
            used = dict.fromkeys(ways, 0.0)
            for _ in range(blocks):
                for name, servers in ways.items():
                    taken, processor_s = await latency(servers, round(seconds * FPS / blocks))
                    samples[name].ns += taken
                    used[name] += processor_s
    results = {name: sample.metrics("") for name, sample in samples.items()}
    for name, row in results.items():
        row["core_ms"] = round(1000 * used[name] / len(samples[name].ns), 2)
        row["added_p50_ms"] = round(row["p50_ms"] - results["direct"]["p50_ms"], 1)
    return results


def main() -> int:
    """Run and print; 0 when the goal is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="12 s instead of 40 s a way")
    parser.add_argument("--data", type=Path, help="unused: the camera is rendered")
    args = parser.parse_args()
    quiet()
    results = asyncio.run(compare(12.0 if args.quick else 40.0, 2 if args.quick else 5))
    met = results["turn-udp"]["added_p50_ms"] <= MAX_ADDED_MS
    emit("webrtc_turn", results, GOAL, met)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
