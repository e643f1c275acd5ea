"""Cameras that send no times, or no pictures, on real sockets."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler
from typing import ClassVar

import av
import cv2
import numpy as np

from stream.frame import Image

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=CAF\xe9\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;"
    "sprop-parameter-sets=Z0IACpY1QPAET8s=,aM4xsg==\r\na=control:track1\r\n"
).encode("latin-1")


@contextmanager
def served(handler: Callable[..., socketserver.BaseRequestHandler]) -> Iterator[int]:
    """The port of a server on a thread of its own, as long as the block lasts."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


def pictures(count: int) -> Iterator[Image]:
    """A square that moves."""
    for number in range(count):
        image = np.full((48, 64, 3), 60, np.uint8)
        image[10:20, number % 50 : number % 50 + 10] = 220
        yield image


def access_units(count: int) -> list[bytes]:
    """Bare H.264, a piece a picture."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"tune": "zerolatency", "x264-params": "keyint=5:repeat-headers=1"}
    frames = [av.VideoFrame.from_ndarray(image, "rgb24") for image in pictures(count)]
    return [bytes(packet) for frame in (*frames, None) for packet in encoder.encode(frame)]


def paced(count: int, fps: int) -> Iterator[int]:
    """Numbers at a camera's pace."""
    for number in range(count):
        yield number
        time.sleep(1 / fps)


class RawH264(socketserver.BaseRequestHandler):
    """Twenty access units a second."""

    def handle(self) -> None:
        units = access_units(120)
        for number in paced(120, 20):
            try:
                self.request.sendall(units[number])
            except OSError:
                return


class Mjpeg(socketserver.BaseRequestHandler):
    """Twenty JPEGs a second over HTTP."""

    def handle(self) -> None:
        self.request.recv(4096)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
        files = [cv2.imencode(".jpg", image)[1].tobytes() for image in pictures(25)]
        try:
            self.request.sendall(head)
            for number in paced(120, 20):
                file = files[number % len(files)]
                part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"
                self.request.sendall(part % (len(file), file))
        except OSError:
            return


class DeafRtsp(socketserver.StreamRequestHandler):
    """Accepts everything and sends nothing, as a camera does whose UDP does not get through."""

    transports: ClassVar[list[str]]

    def handle(self) -> None:
        while request := self._request():
            method, headers = request
            extra, body = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", b""
            if method == "DESCRIBE":
                body = SDP
                extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                asked = headers["transport"]
                self.transports.append(asked)
                ports = ";server_port=40000-40001" if "client_port" in asked else ""
                extra = f"Session: 1;timeout=60\r\nTransport: {asked}{ports}\r\n"
            elif method == "PLAY":
                extra = "Session: 1\r\nRange: npt=0-\r\n"
            head = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{extra}\r\n"
            try:
                self.wfile.write(head.encode() + body)
            except OSError:
                return

    def _request(self) -> tuple[str, dict[str, str]] | None:
        try:
            lines = list(iter(lambda: self.rfile.readline().decode().strip(), ""))
        except OSError:
            return None
        if not lines:
            return None
        pairs = (line.split(": ", 1) for line in lines[1:])
        return lines[0].split()[0], {name.lower(): value for name, value in pairs}


class QuietHttp(SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *_: object) -> None:
        pass
