"""Pushes numbered frames with FFmpeg, as a program of its own, because FFmpeg blocks to connect.

python ffmpeg_push.py URL FORMAT FIRST_NUMBER FRAMES
"""

import sys
import time
from fractions import Fraction

import av

from devices.webrtc.fakes import draw_number

FPS = 30


def push(url: str, container: str, first: int, count: int) -> None:
    with av.open(url, "w", format=container) as output:
        stream = output.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 10
        stream.options = {"tune": "zerolatency", "preset": "ultrafast"}
        for number in range(first, first + count):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number - first, Fraction(1, FPS)
            output.mux(stream.encode(frame))
            time.sleep(1 / FPS)
        output.mux(stream.encode(None))


if __name__ == "__main__":
    push(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
