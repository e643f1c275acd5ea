"""FFmpeg's own WHIP client (through PyAV): publishes numbered frames. Run as a program, because
it blocks while it connects.

    python ffmpeg_publisher.py URL TOKEN FRAMES CERTIFICATE KEY PROFILE
"""

import sys
import time
from fractions import Fraction

import av

from tests.doubles.webrtc import draw_number

FPS = 30


def publish(url: str, token: str, count: int, certificate: str, key: str, profile: str) -> None:
    options = {"authorization": token, "cert_file": certificate, "key_file": key}
    with av.open(url, "w", format="whip", options=options) as output:
        stream = output.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.profile = profile
        stream.options = {"tune": "zerolatency", "preset": "ultrafast", "level": "3.1", "bf": "0"}
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
            time.sleep(1 / FPS)


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:7])
