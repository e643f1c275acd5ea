"""The example in docs/webrtc.md runs: a camera publishes to it and is seen."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.doubles.webrtc import NumberCamera

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "webrtc.md"


async def test_the_first_example_serves_a_camera(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = DOCUMENT.read_text().split("```python\n")[1].split("```")[0]
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", lambda app, port: apps.append(app))
    exec(compile(source, str(DOCUMENT), "exec"), {})
    runner = web.AppRunner(apps[0])
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    camera: Any = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    camera.addTransceiver(NumberCamera(fps=30), direction="sendonly")
    await camera.setLocalDescription(await camera.createOffer())
    headers = {"Content-Type": "application/sdp", "Authorization": "Bearer my-token"}
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/whip"
    async with aiohttp.ClientSession() as http:
        response = await http.post(url, data=camera.localDescription.sdp, headers=headers)
        answer = RTCSessionDescription(await response.text(), "answer")
        await camera.setRemoteDescription(answer)
        printed = ""
        async with asyncio.timeout(10):
            while "(240, 320) {}" not in printed:
                await asyncio.sleep(0.05)
                printed += capsys.readouterr().out
    await camera.close()
    await runner.cleanup()
