"""Driving the web client in a real browser: start, ask, and what is shown and heard."""

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest_asyncio

from tests.foveal.server.chromium import Browser

QUESTION = "What is coffee made from?"
START_RECORDER = """(() => {
  const recorder = new MediaRecorder(foveal.voice), parts = [];
  recorder.ondataavailable = event => parts.push(event.data);
  recorder.start();
  window.stopRecorder = () => new Promise(done => {
    recorder.onstop = async () => {
      const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
      done(btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), '')));
    };
    recorder.stop();
  });
})()"""
PAINTED = """(() => {
  const masks = document.getElementById('masks'), {width, height} = masks;
  const {data} = masks.getContext('2d').getImageData(0, 0, width, height);
  let painted = 0;
  for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
  return painted / (width * height);
})()"""

PICTURED = PAINTED.replace("'masks'", "'picture'")


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser whose camera is Chromium's own test picture."""
    async with Browser(tmp_path / "browser") as one:
        yield one
        assert one.errors == []


async def start(browser: Browser, url: str, patience_s: float = 60, **window: Any) -> None:
    """Open the page, start the camera, wait for masks."""
    await browser.open(url, **window)
    await browser.run("document.getElementById('use-camera').click()")
    await browser.until("document.body.dataset.state === 'live'", 40)
    await browser.until("foveal.regions?.regions.some(one => one.mask)", patience_s)


async def ask(browser: Browser, text: str, turns: int, timeout_s: float = 60) -> None:
    """Type a question and wait for the whole answer."""
    await browser.run(
        f"(() => {{ document.getElementById('text').value = {text!r};"
        " document.getElementById('ask').requestSubmit(); })()"
    )
    await browser.until(f"document.querySelectorAll('.fall').length >= {turns}", timeout_s)


async def shown(browser: Browser, selector: str) -> list[str]:
    """The texts of all elements of a selector."""
    script = f"[...document.querySelectorAll({selector!r})].map(one => one.textContent)"
    return list(await browser.run(script))


async def recorded(browser: Browser, rate: int) -> npt.NDArray[np.float32]:
    """What the page recorded of the server's voice: [samples], -1..1."""
    content = base64.b64decode(await browser.run("stopRecorder()"))
    with av.open(io.BytesIO(content)) as sound:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts = [part for one in sound.decode(audio=0) for part in resampler.resample(one)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


async def heard(browser: Browser) -> float:
    """Root mean square, 0..1, of what the page recorded."""
    return float(np.sqrt(np.mean(await recorded(browser, 48_000) ** 2)))
