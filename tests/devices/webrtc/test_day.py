"""Twenty-four hours of stream on the virtual clock: the time line holds and nothing piles up."""

import gc
import sys
import threading
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
from aiortc.codecs.vpx import Vp8Encoder

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.webrtc.receiver import LowLatencyReceiver
from stream.clock import NS_PER_S, VirtualClock
from tests.doubles.webrtc import draw_number, read_number

FPS, BURST = 15, 8  # frames of one look around, then the camera rests to save its battery
PERIOD_S = 300
HOURS = 24
TICKS = 90_000
CODEC = SimpleNamespace(name="VP8", mimeType="video/VP8", payloadType=96)


def encoded_burst() -> list[list[bytes]]:
    """The packets of each frame (without the VP8 descriptor), the first frame a keyframe."""
    encoder = Vp8Encoder()
    frames = []
    for number in range(BURST):
        picture = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
        picture.pts, picture.time_base = number, Fraction(1, FPS)
        packets, _ = encoder.encode(picture, force_keyframe=number == 0)
        frames.append([packet[_descriptor_size(packet) :] for packet in packets])
    return frames


def _descriptor_size(packet: bytes) -> int:
    """RFC 7741 section 4.2; this encoder sends a picture id and nothing else."""
    assert packet[0] & 0x80 and packet[1] == 0x80
    return 4 if packet[2] & 0x80 else 3


class Sender:
    """Numbers and stamps packets as a camera does, both wrapping."""

    def __init__(self, ssrc: int, number: int) -> None:
        self.ssrc, self.number = ssrc, number

    def packets(self, frame: list[bytes], stamp: int) -> list[Any]:
        packets = []
        for index, data in enumerate(frame):
            self.number = (self.number + 1) & 0xFFFF
            packets.append(
                SimpleNamespace(
                    ssrc=self.ssrc,
                    sequence_number=self.number,
                    timestamp=stamp & 0xFFFFFFFF,
                    marker=int(index == len(frame) - 1),
                    payload_type=96,
                    _data=data,
                )
            )
        return packets


def own_threads() -> int:
    """Without asyncio's workers, which are bounded and start when the machine is busy."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


async def test_a_day_of_stream_keeps_its_time_and_leaves_nothing_behind() -> None:
    clock = VirtualClock()
    transport = SimpleNamespace(state="connected")
    receiver = LowLatencyReceiver(transport, ReceiveOptions(FramePolicy.AUTO), clock)
    receiver.pipeline.start({96: CODEC})
    frames = receiver.frames()
    burst, sender = encoded_burst(), Sender(7, 65_000)
    offset = 0xFFFFFFFF - 10 * TICKS  # wraps within the first minutes, and twice more
    blocks = threads = last_ns = seen = 0
    bursts = HOURS * 3600 // PERIOD_S
    for number in range(bursts):
        if number % 96 == 95:  # every eight hours another sender: the glasses restarted
            sender, offset = Sender(sender.ssrc + 1, 12_345), offset + 987_654_321
        for index, frame in enumerate(burst):
            at_ns = (number * PERIOD_S) * NS_PER_S + index * NS_PER_S // FPS
            clock.advance_to(at_ns)
            packets = sender.packets(frame, offset + at_ns * TICKS // NS_PER_S)
            if index % 5 == 3:
                packets = [*packets[:-1], packets[0], packets[-1]]  # one comes twice
            for packet in packets:
                receiver.take_packet(packet)
            picture = await anext(frames)
            assert read_number(picture.image) == index
            assert picture.arrival_ns == at_ns
            assert picture.pts_ns > last_ns or seen == 0
            last_ns, seen = picture.pts_ns, seen + 1
        if number == bursts // 8:
            gc.collect()
            blocks, threads = sys.getallocatedblocks(), own_threads()
    gc.collect()
    assert seen == bursts * BURST
    assert abs(last_ns - clock.now_ns()) < NS_PER_S // FPS
    assert sys.getallocatedblocks() - blocks < 1000  # two thousand frames later
    assert own_threads() <= threads
    assert receiver.stats().delivered == seen
    assert receiver.stats().decode_errors == 0
    await frames.aclose()  # type: ignore[attr-defined]
    await receiver.pipeline.aclose()
