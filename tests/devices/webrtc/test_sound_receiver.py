"""Real Opus packets through a real connection that loses some: the sound, and its time."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from devices.audio.concealment import MAX_CONCEALED_NS
from devices.audio.pcm import Pcm
from devices.webrtc.assembler import LOST
from devices.webrtc.connection import PeerConnection
from devices.webrtc.sound_receiver import DAMAGED, SoundReceiver
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from tests.doubles.webrtc import BadNetwork

RATE = 48_000
BLOCK = 960
Packets = list[tuple[int, bytes]]  # time in ticks, payload


def speech(seconds: float) -> Pcm:
    """Tones that come and go, 48 kHz."""
    times = np.arange(round(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * 180 * times) * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * times))
    return (9000 * wave).astype(np.int16)


def opus(sound: Pcm, dtx: bool = False) -> Packets:
    """Encoded as a phone does; with `dtx` silence is a byte in 400 ms (RFC 6716 section 2.1.9)."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.bit_rate, encoder.format, encoder.layout = 32_000, "s16", "mono"
    encoder.sample_rate, encoder.options = RATE, {"application": "voip"}
    packets: Packets = []
    unsent = 0
    for at in range(0, len(sound) - BLOCK + 1, BLOCK):
        frame = av.AudioFrame.from_ndarray(sound[None, at : at + BLOCK], "s16", "mono")
        frame.sample_rate, frame.pts = RATE, at
        for packet in encoder.encode(frame):
            data = bytes(packet)
            silent = dtx and len(data) <= 3  # FFmpeg's encoder has no such option
            unsent = unsent + 1 if silent else 0
            if unsent % 20 <= 1:
                packets.append((at, data[:1] if silent else data))
    return packets


class OpusTrack(MediaStreamTrack):  # type: ignore[misc]  # aiortc is untyped here
    """Sends packets that were encoded before, each in its time."""

    kind = "audio"

    def __init__(self, packets: Packets) -> None:
        super().__init__()
        self._packets, self._clock = iter(packets), MonotonicClock()
        self.done = asyncio.Event()
        self.go = asyncio.Event()
        self._origin_ns: int | None = None

    async def recv(self) -> Any:
        """The next packet (called by aiortc's sender)."""
        await self.go.wait()
        if self._origin_ns is None:
            self._origin_ns = self._clock.now_ns()
        pts, data = next(self._packets, (None, b""))
        if pts is None:
            self.done.set()
            await asyncio.Event().wait()
        assert pts is not None
        await self._clock.sleep_until(self._origin_ns + pts * NS_PER_S // RATE)
        packet = av.Packet(data)
        packet.pts, packet.time_base = pts, Fraction(1, RATE)
        return packet


@asynccontextmanager
async def heard(
    packets: Packets, network: BadNetwork
) -> AsyncIterator[tuple[list[Any], SoundReceiver, OpusTrack]]:
    """The frames that come out of a connection, while it lasts and until it has ended."""
    sender = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    track, tracks = OpusTrack(packets), list[Any]()
    sender.addTrack(track)
    receiver = PeerConnection(MonotonicClock())
    receiver.on("track", tracks.append)
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await receiver.setLocalDescription(await receiver.createAnswer())
    await sender.setRemoteDescription(receiver.localDescription)
    frames: list[Any] = []

    async def take() -> None:
        try:
            while True:
                frames.append(await tracks[0].recv())
        except MediaStreamError:
            return

    taking = asyncio.create_task(take())
    async with asyncio.timeout(30):
        while "connected" not in (sender.connectionState, receiver.connectionState):
            await asyncio.sleep(0.01)
        network.attach(sender)
        track.go.set()
        ours = receiver.getTransceivers()[0].receiver
        assert isinstance(ours, SoundReceiver)
        yield frames, ours, track
        await asyncio.gather(sender.close(), receiver.close())
        await taking


def spans(frames: list[Any]) -> list[tuple[int, int]]:
    """Begin and end of each frame, in samples; all of them follow each other."""
    found = [(one.pts, one.pts + one.samples) for one in frames]
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(found))
    return found


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.3])
async def test_no_more_is_lost_than_the_network_loses_and_time_stays(loss: float) -> None:
    packets = opus(speech(4.0))
    network = BadNetwork(loss, jitter_ms=5 if loss else 0, seed=3)
    async with heard(packets, network) as (frames, receiver, track):
        await track.done.wait()
        await asyncio.sleep(0.3)
        stats = receiver.stats()
    assert len(packets) - network.lost <= stats.packets <= len(packets)
    assert stats.sound_ns == stats.packets * 20 * NS_PER_MS  # all that came is heard
    found = spans(frames)
    assert all(frame.pts % BLOCK == 0 for frame in frames)  # each at its own place
    holes = sum(other[0] - one[1] for one, other in itertools.pairwise(found))
    whole = found[-1][1] - found[0][0]
    made_ns = stats.sound_ns + stats.concealed_ns
    assert whole * NS_PER_S // RATE == made_ns + holes * NS_PER_S // RATE
    lost = stats.dropped.get(LOST, 0)
    assert lost <= network.lost
    assert stats.concealed_ns <= lost * 20 * NS_PER_MS
    if loss == 0.05:
        assert lost and stats.concealed_ns == lost * 20 * NS_PER_MS and not holes


async def test_what_is_heard_is_what_was_said() -> None:
    said = speech(2.0)
    async with heard(opus(said), BadNetwork()) as (frames, _, track):
        await track.done.wait()
        await asyncio.sleep(0.2)
    got = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in frames[10:80]])
    at = 10 * BLOCK
    lags = range(0, 960, 8)  # what the encoder looks ahead
    alike = [np.corrcoef(said[at - lag : at - lag + len(got)], got)[0, 1] for lag in lags]
    assert max(alike) > 0.95


async def test_a_long_loss_is_faded_out_and_then_a_gap() -> None:
    packets = opus(speech(3.0))
    network = BadNetwork()
    async with heard(packets, network) as (frames, receiver, track):
        while len(frames) < 40:
            await asyncio.sleep(0.005)
        network.down = True
        while network.lost < 25:
            await asyncio.sleep(0.005)
        network.down = False
        await track.done.wait()
        await asyncio.sleep(0.2)
        stats = receiver.stats()
    assert stats.concealed_ns == MAX_CONCEALED_NS
    found = spans(frames)
    (hole,) = [b[0] - a[1] for a, b in itertools.pairwise(found) if b[0] != a[1]]
    lost = stats.dropped[LOST]
    assert lost >= 20 and hole == lost * BLOCK - MAX_CONCEALED_NS * RATE // NS_PER_S


async def test_silence_that_is_not_sent_is_silence_in_time() -> None:
    said = np.concatenate([speech(1.0), np.zeros(2 * RATE, np.int16), speech(1.0)])
    packets = opus(said, dtx=True)
    assert len(packets) < 130  # of 200
    async with heard(packets, BadNetwork()) as (frames, receiver, track):
        await track.done.wait()
        await asyncio.sleep(0.2)
        stats = receiver.stats()
    assert stats.rest_ns > NS_PER_S and stats.dropped == {} and stats.concealed_ns == 0
    found = spans(frames)
    assert found[-1][1] - found[0][0] == len(said) // BLOCK * BLOCK
    ours = {frame.pts for frame in frames}
    assert {pts for pts, _ in packets} <= ours  # nothing that was sent is pushed aside


async def test_damaged_packets_are_left_out_and_concealed() -> None:
    packets = opus(speech(2.0))
    packets[50] = packets[50][0], b"\xff\xff\xff"
    packets[60] = packets[60][0], packets[60][1][:1] + b"\x00"
    async with heard(packets, BadNetwork()) as (frames, receiver, track):
        await track.done.wait()
        await asyncio.sleep(0.2)
        stats = receiver.stats()
    assert stats.dropped.get(DAMAGED, 0) >= 1
    assert stats.concealed_ns == stats.dropped[DAMAGED] * 20 * NS_PER_MS
    found = spans(frames)
    assert found[-1][1] == 100 * BLOCK


async def test_a_track_that_nobody_reads_keeps_its_newest_five_seconds() -> None:
    queue_size = 250
    async with heard(opus(speech(0.5)), BadNetwork()) as (_, receiver, track):
        await track.done.wait()
        queue = receiver.track._queue
        for _ in range(400):
            receiver.hand_on(object())
        assert queue.qsize() <= queue_size and queue.dropped >= 100
        while not queue.empty():
            queue.get_nowait()
