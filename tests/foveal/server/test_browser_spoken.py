"""A real browser asks a real server aloud, and hears the answer."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from devices.audio.wav import write_wav
from devices.speaking.speaker import HibariSpeaker
from devices.webrtc.tracks import to_48k
from foveal.assets.registry import asset_path, cache_root
from foveal.demo.clip import DemoOptions, render_demo
from foveal.setup.hearing import load_hearing
from stream.errors import AssetError
from tests.foveal.live.live_rig import ROOT
from tests.foveal.server.browser_rig import (
    QUESTION,
    START_RECORDER,
    ask,
    browser,
    heard,
    recorded,
    shown,
    start,
)
from tests.foveal.server.chromium import PROGRAM, Browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
__all__ = ["browser"]


@pytest.fixture(scope="session")
def demo_camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the project's own demo clip as a camera's raw pictures."""
    folder = tmp_path_factory.mktemp("camera")
    options = DemoOptions(seconds=4.0, width=640, height=360, fps=10)
    clip = render_demo(folder / "demo.mp4", options).clip
    raw = folder / "demo.y4m"
    with av.open(str(clip)) as source, av.open(str(raw), "w", format="yuv4mpegpipe") as sink:
        out: Any = sink.add_stream("wrapped_avframe", rate=10)
        out.width, out.height, out.pix_fmt = 640, 360, "yuv420p"
        for picture in source.decode(video=0):
            sink.mux(out.encode(picture.reformat(format="yuv420p")))
    return raw


@pytest.fixture(scope="session")
def spoken_question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A question as a microphone hears it: over and over, with pauses."""
    pause = np.zeros(48_000, np.int16)
    speech = [to_48k(chunk, 24_000) for chunk in HibariSpeaker().synthesize(QUESTION)]
    path = tmp_path_factory.mktemp("microphone") / "question.wav"
    write_wav(path, [pause, *speech, pause], 48_000)
    return path


async def spoken_answer(browser: Browser) -> str:
    """Hold the talk key until the question was heard; what the answer sounds like, as text.

    Empty when it did not come about: nothing was understood, or the answer was not played.
    """
    before = await browser.run("document.querySelectorAll('.turn').length")
    await browser.hold_space_until("/coffee/i.test(document.getElementById('hearing').textContent)")
    await browser.run(START_RECORDER)
    last = f"[...document.querySelectorAll('.turn')][{before}]"
    try:
        await browser.until(f"{last}?.querySelector('.fall')", 90)
        await browser.until(f"{last}.hasAttribute('data-spoken')", 60)
    except AssertionError:
        await browser.run("document.getElementById('quiet').click()")
        return ""
    asked = (await shown(browser, ".question"))[before]
    if "coffee" not in asked.lower() or "spoken" not in asked:
        return ""
    await asyncio.sleep(1.5)  # what the network and the browser still hold back
    return load_hearing().transcriber.transcribe(voiced(await recorded(browser, 16_000))).text


def voiced(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The sound at 16 kHz without its long silences; at most as much as whisper takes at once."""
    blocks = sound[: len(sound) // 1600 * 1600].reshape(-1, 1600)
    loud = np.sqrt(np.mean(blocks**2, axis=1)) > 0.003
    near = np.convolve(loud, np.ones(7), mode="same") > 0
    return np.ascontiguousarray(blocks[near].reshape(-1)[: 28 * 16_000])


async def ask_aloud(browser: Browser, attempts: int = 4) -> str:
    """What the answer to the spoken question sounds like.

    On a loaded machine Chromium's microphone stutters, and so does what it plays: then ask again,
    as a wearer would.
    """
    said = ""
    for _ in range(attempts):
        said = await spoken_answer(browser)
        if "coffee" in said.lower():
            break
    return said


async def read_until(output: asyncio.StreamReader, words: str) -> str:
    """The first line that holds these words."""
    async with asyncio.timeout(400):
        while words not in (line := (await output.readline()).decode()):
            assert line, f"the server ended before it said {words!r}"
    return line


@pytest.mark.assets
async def test_a_real_server_answers_a_real_browser(
    tmp_path: Path, demo_camera: Path, spoken_question: Path
) -> None:
    try:
        asset_path("smollm2-135m", "hf/config.json")
        asset_path("whisper-tiny-en", "model.bin")
    except AssetError as error:
        pytest.skip(str(error))
    if not (cache_root() / "index").is_dir():
        pytest.skip("the knowledge base index is not built (`foveal index build`)")
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foveal.cli", "serve", "--port", "0"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    try:
        url = (await read_until(server.stdout, "listens on")).split()[-1]
        await read_until(server.stdout, "ready")
        async with Browser(tmp_path / "browser", demo_camera, spoken_question) as browser:
            await start(browser, url, 150)
            await browser.until("foveal.voice !== null")
            await browser.run(START_RECORDER)
            await ask(browser, QUESTION, 1, 120)
            (answer,) = await shown(browser, ".answer")
            assert "coffee" in answer.lower()
            assert "Coffee" in await shown(browser, ".card strong")
            assert await shown(browser, ".asking b")
            await browser.until("document.querySelector('.turn').hasAttribute('data-spoken')", 60)
            assert await heard(browser) > 0.005
            assert "coffee" in (await ask_aloud(browser)).lower()
            assert browser.errors == []
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 30) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
