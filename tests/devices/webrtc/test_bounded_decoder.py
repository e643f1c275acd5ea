"""Pictures that are small to send and large to unpack, as a hostile camera makes them."""

import asyncio
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from devices.video.policy import ReceiveOptions
from devices.webrtc.assembler import EncodedFrame
from devices.webrtc.bounded_decoder import BoundedDecoder, vp8_size
from devices.webrtc.decoder import DecodePipeline
from stream.clock import MonotonicClock
from stream.errors import SourceError

CODECS = {
    name: RTCRtpCodecParameters(f"video/{name}", 90_000, payloadType=96, parameters=parameters)
    for name, parameters in {
        "VP8": {},
        "H264": {"packetization-mode": "1", "profile-level-id": "42e01f"},
    }.items()
}


def encoded(name: str, width: int, height: int) -> EncodedFrame:
    """A keyframe as it is after its packets were put together."""
    encoder = av.CodecContext.create({"VP8": "libvpx", "H264": "libx264"}[name], "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    if name == "H264":
        encoder.options = {"tune": "zerolatency"}
    image = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), "rgb24")
    packets = [*encoder.encode(image), *encoder.encode(None)]
    return EncodedFrame(0, b"".join(map(bytes, packets)), 96, MonotonicClock().now_ns())


@pytest.mark.parametrize("name", CODECS)
def test_the_size_is_judged_before_decoding(name: str) -> None:
    small, large = encoded(name, 320, 240), encoded(name, 640, 480)
    decoder = BoundedDecoder(CODECS[name], 320 * 240)
    assert decoder.decode(small)[0].width == 320
    with pytest.raises(SourceError, match="at most 76800 pixels"):
        decoder.decode(large)
    assert BoundedDecoder(CODECS[name], 640 * 480).decode(large)[0].width == 640


def test_a_header_that_lies_is_not_believed_into_memory() -> None:
    frame = encoded("VP8", 320, 240)
    assert vp8_size(frame.data) == (320, 240)
    lying = frame.data[:6] + b"\xff\x3f\xff\x3f" + frame.data[10:]
    with pytest.raises(SourceError, match="16383x16383"):
        BoundedDecoder(CODECS["VP8"], 4_194_304).decode(EncodedFrame(0, lying, 96, 0))


@pytest.mark.parametrize("name", CODECS)
async def test_the_stream_goes_on_with_pictures_that_fit(name: str) -> None:
    pipeline = DecodePipeline(ReceiveOptions(max_pixels=320 * 240), MonotonicClock())
    pipeline.start({96: CODECS[name]})
    pipeline.feed(encoded(name, 640, 480))
    async with asyncio.timeout(10):
        while not pipeline.decode_errors:
            await asyncio.sleep(0.01)
        pipeline.feed(encoded(name, 320, 240))
        assert (await pipeline.pictures.frame("camera")).size == (240, 320)
    await pipeline.aclose()
