"""GStreamer's webrtcbin (1.22, Debian's) publishes: max-bundle, VP8 and H.264 High."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.whip.session import PeerSession
from tests.devices.whip.whip_rig import TOKEN, Start, start

__all__ = ["start"]  # fixture

PYTHON = Path("/usr/bin/python3")  # the one that Debian's bindings are for
NEEDED = ("webrtcbin", "nicesrc", "dtlssrtpenc", "x264enc", "vp8enc", "opusenc")
CHECK = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstWebRTC', '1.0'); "
    "from gi.repository import Gst, GstWebRTC; Gst.init(None); "
    f"assert all(map(Gst.ElementFactory.find, {NEEDED}))"
)


def has_gstreamer() -> bool:
    if not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-c", CHECK], capture_output=True).returncode == 0


@pytest.mark.skipif(
    not has_gstreamer(),
    reason="no GStreamer (Debian: python3-gst-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly)",
)
@pytest.mark.parametrize("encoder", ["vp8", "h264-high"])
async def test_gstreamer_publishes_picture_and_sound(start: Start, encoder: str) -> None:
    pictures: list[Any] = []
    loudness: list[float] = []

    async def watch(session: PeerSession) -> None:
        async def listen() -> None:
            while True:
                loudness.append(float(np.abs((await session.audio.recv()).to_ndarray()).max()))

        listening = asyncio.create_task(listen())
        assert session.video is not None
        async for frame in session.video.frames():
            pictures.append(frame.image.mean(axis=(0, 1)))
        listening.cancel()

    endpoint = await start(watch)
    script = Path(__file__).with_name("gst_publisher.py")
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), str(script), f"{endpoint.url}/whip", TOKEN, "2", encoder),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin"},
    )
    told, _ = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, told) == (0, b"connected\n")
    assert len(pictures) > 20 and len(loudness) > 20
    red, green, blue = np.mean(pictures, axis=0)
    assert red > 200 and green < 40 and blue < 40
    assert max(loudness) > 1000
