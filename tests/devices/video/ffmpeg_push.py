"""Pushes numbered frames with FFmpeg, as a program of its own, because FFmpeg blocks to connect.

python ffmpeg_push.py URL FORMAT FIRST_NUMBER FRAMES [WAV]

With a mono WAV of 16 bits its sound goes along (AAC), from the first frame on.
"""

import sys
import time
import wave
from fractions import Fraction
from typing import Any

import av
import numpy as np

from tests.doubles.webrtc import draw_number

FPS = 30
BLOCK = 1024  # samples of an AAC frame


class Sound:
    """A WAV as the sound of a stream."""

    def __init__(self, path: str, output: Any) -> None:
        with wave.open(path) as file:
            self.rate = file.getframerate()
            self.samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        self.output, self.stream, self.at = output, output.add_stream("aac", rate=self.rate), 0
        self.stream.layout = "mono"

    def until(self, seconds: float) -> None:
        """Send what has been said by then."""
        while self.at < min(seconds * self.rate, len(self.samples)):
            block = self.samples[self.at : self.at + BLOCK].astype(np.float32) / 32_768
            frame = av.AudioFrame.from_ndarray(block[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = self.rate, self.at
            frame.time_base = Fraction(1, self.rate)
            self.output.mux(self.stream.encode(frame))
            self.at += BLOCK


def push(url: str, container: str, first: int, count: int, wav: str | None = None) -> None:
    with av.open(url, "w", format=container) as output:
        stream = output.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 10
        stream.options = {"tune": "zerolatency", "preset": "ultrafast"}
        sound = None if wav is None else Sound(wav, output)
        for number in range(first, first + count):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number - first, Fraction(1, FPS)
            output.mux(stream.encode(frame))
            if sound is not None:
                sound.until((number - first) / FPS)
            time.sleep(1 / FPS)
        output.mux(stream.encode(None))


if __name__ == "__main__":
    push(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
