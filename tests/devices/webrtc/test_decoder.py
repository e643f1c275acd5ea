"""The decoder thread: errors, back-pressure, and an end that never hangs."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import av.error
import pytest

from devices.video.policy import FramePolicy, ReceiveOptions
from devices.webrtc.assembler import EncodedFrame
from devices.webrtc.decoder import DecodePipeline
from stream.clock import MonotonicClock
from stream.errors import ChannelClosed

KEY = b"\x00\x00\x00\x9d\x01\x2a" + bytes(10)
DELTA = b"\x01" + bytes(15)
CODEC = SimpleNamespace(name="VP8", mimeType="video/VP8")


class FakeDecoder:
    """Gives the timestamp back as the picture; fails on chosen ones."""

    def __init__(self, broken: set[int] | None = None) -> None:
        self.broken = broken or set()
        self.decoded: list[int] = []
        self.hold = threading.Event()
        self.hold.set()

    def decode(self, frame: EncodedFrame) -> list[Any]:
        self.hold.wait(5)
        self.decoded.append(frame.timestamp)
        if frame.timestamp in self.broken:
            raise av.error.InvalidDataError(1, "damaged")
        return [frame.timestamp]


def start(policy: FramePolicy, decoder: FakeDecoder, **bounds: int) -> DecodePipeline:
    options = ReceiveOptions(policy, **bounds)
    pipeline = DecodePipeline(options, MonotonicClock(), lambda codec: decoder)
    pipeline.start({96: CODEC})
    return pipeline


def feed(pipeline: DecodePipeline, *frames: tuple[int, bytes]) -> None:
    for timestamp, data in frames:
        pipeline.feed(EncodedFrame(timestamp, data, 96, pipeline._clock.now_ns()))


async def settle(condition: Any) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_damaged_frame_stops_decoding_until_a_keyframe() -> None:
    decoder = FakeDecoder(broken={1})
    pipeline = start(FramePolicy.EVERY_FRAME, decoder)
    feed(pipeline, (0, KEY), (1, DELTA))
    await settle(lambda: pipeline.decode_errors == 1)
    assert pipeline.needs_keyframe
    feed(pipeline, (2, DELTA), (3, KEY), (4, DELTA))
    taken = [(await pipeline.pictures.take()).ticks for _ in range(3)]
    assert taken == [0, 3, 4]
    assert 2 not in decoder.decoded
    await pipeline.aclose()


async def test_every_frame_makes_the_decoder_wait_and_drops_nothing() -> None:
    decoder = FakeDecoder()
    pipeline = start(FramePolicy.EVERY_FRAME, decoder, decoded_capacity=2)
    feed(pipeline, (0, KEY), *((n, DELTA) for n in range(1, 20)))
    await settle(lambda: len(decoder.decoded) == 3)  # two wait, one is in the decoder's hands
    await asyncio.sleep(0.05)
    assert len(decoder.decoded) == 3
    assert not pipeline.hungry
    assert [(await pipeline.pictures.take()).ticks for _ in range(20)] == list(range(20))
    await settle(lambda: pipeline.hungry)
    await pipeline.aclose()


async def test_the_newest_picture_can_be_had_at_once_from_another_thread() -> None:
    decoder = FakeDecoder()
    pipeline = start(FramePolicy.FRESHEST, decoder)
    assert await asyncio.to_thread(pipeline.pictures.take_now) is None
    feed(pipeline, (0, KEY), (1, DELTA), (2, DELTA))
    await settle(lambda: decoder.decoded == [0, 1, 2] and pipeline.hungry)
    picture = await asyncio.to_thread(pipeline.pictures.take_now)
    assert picture is not None and picture.ticks == 2
    assert pipeline.pictures.take_now() is None
    waiting = asyncio.create_task(pipeline.pictures.take())
    feed(pipeline, (3, DELTA))
    assert (await waiting).ticks == 3
    await pipeline.aclose()


async def test_a_waiting_consumer_is_told_of_the_end() -> None:
    pipeline = start(FramePolicy.AUTO, FakeDecoder())
    waiting = asyncio.create_task(pipeline.pictures.take())
    await asyncio.sleep(0.01)
    pipeline.close()
    pipeline.close()
    with pytest.raises(ChannelClosed):
        await waiting
    await pipeline.aclose()
    assert not pipeline._thread.is_alive()


async def test_closing_frees_a_decoder_that_waits_for_room() -> None:
    decoder = FakeDecoder()
    pipeline = start(FramePolicy.EVERY_FRAME, decoder, decoded_capacity=1)
    feed(pipeline, (0, KEY), (1, DELTA), (2, DELTA))
    await settle(lambda: len(decoder.decoded) == 2)
    await pipeline.aclose()
    assert not pipeline._thread.is_alive()


async def test_a_stuck_decoder_leaves_fresh_frames_and_bounded_memory() -> None:
    decoder = FakeDecoder()
    decoder.hold.clear()
    pipeline = start(FramePolicy.FRESHEST, decoder, encoded_capacity=8)
    feed(pipeline, (0, KEY))
    await asyncio.sleep(0.02)
    feed(pipeline, *((n, DELTA) for n in range(1, 100)))
    assert pipeline.stats()[0].size <= 8
    assert pipeline.needs_keyframe
    feed(pipeline, (100, KEY))
    decoder.hold.set()
    await settle(lambda: 100 in decoder.decoded)
    assert decoder.decoded == [0, 100]
    await settle(lambda: pipeline.stats()[1].received == 2)
    assert (await pipeline.pictures.take()).ticks == 100
    await pipeline.aclose()


async def test_unknown_payload_types_and_empty_frames_are_ignored() -> None:
    decoder = FakeDecoder()
    pipeline = start(FramePolicy.AUTO, decoder)
    pipeline.feed(EncodedFrame(0, KEY, 111, 0))
    pipeline.feed(EncodedFrame(0, b"", 96, 0))
    assert pipeline.stats()[0].received == 0
    await pipeline.aclose()
