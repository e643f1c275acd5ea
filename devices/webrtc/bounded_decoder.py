"""aiortc's decoders, held to a size of picture that is read from the header before decoding."""

from typing import Any

import av.error
from aiortc.codecs import get_decoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from devices.webrtc.assembler import EncodedFrame
from devices.webrtc.encoded_buffer import is_keyframe
from stream.errors import SourceError


class BoundedDecoder:
    """Decodes one stream; a picture of more than `max_pixels` costs neither memory nor time.

    FFmpeg's own H.264 decoder checks the size that the sequence parameter set tells. libvpx makes
    room before it is asked, so the size of a VP8 keyframe is read here (RFC 6386 section 9.1).
    """

    def __init__(self, codec: RTCRtpCodecParameters, max_pixels: int) -> None:
        self._name, self._max_pixels = codec.name, max_pixels
        self._decoder: Any = get_decoder(codec)
        context = getattr(self._decoder, "codec", None)
        if context is not None and context.name == "h264":
            context.options = {"max_pixels": str(max_pixels)}

    def decode(self, frame: EncodedFrame) -> list[Any]:
        """Pictures; raises SourceError for one that is too large, FFmpegError for damage."""
        if self._name.upper() == "VP8" and is_keyframe(self._name, frame.data):
            width, height = vp8_size(frame.data)
            if width * height > self._max_pixels:
                raise SourceError(
                    f"expected pictures of at most {self._max_pixels} pixels, got "
                    f"{width}x{height}; send smaller ones, or raise `serve --max-megapixels`"
                )
        try:
            return list(self._decoder.decode(frame))
        except av.error.InvalidDataError as error:
            raise SourceError(
                f"expected a whole picture of at most {self._max_pixels} pixels, got: {error}"
            ) from error


def vp8_size(data: bytes) -> tuple[int, int]:
    """(width, height) that a VP8 keyframe tells."""
    return (
        int.from_bytes(data[6:8], "little") & 0x3FFF,
        int.from_bytes(data[8:10], "little") & 0x3FFF,
    )
