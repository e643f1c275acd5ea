"""Headless Firefox driven over WebDriver BiDi, with its own moving picture and tone as camera and
microphone.
"""

import asyncio
import contextlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("firefox-esr") or shutil.which("firefox")
PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}
ADDRESS = "WebDriverBiDiServer.json"  # in the profile, once it listens


class Firefox:
    """One page of a browser of its own; its profile lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ids = itertools.count(1)
        self._context = ""

    async def __aenter__(self) -> "Firefox":
        assert PROGRAM is not None
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (self._folder / "user.js").write_text("\n".join(lines))
        silent = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            *(PROGRAM, "--headless", "--no-remote", "--profile", str(self._folder)),
            *("--remote-debugging-port", "0", "about:blank"),
            stdout=silent,
            stderr=silent,
            env={"HOME": str(self._folder), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
        )
        self._http = aiohttp.ClientSession()
        try:
            await self._attach()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _attach(self) -> None:
        told = self._folder / ADDRESS
        async with asyncio.timeout(60):
            while not (told.is_file() and told.read_text().strip().endswith("}")):
                await asyncio.sleep(0.1)
        port = json.loads(told.read_text())["ws_port"]
        self._socket = await self._http.ws_connect(f"ws://127.0.0.1:{port}/session", max_msg_size=0)
        await self.call("session.new", capabilities={})
        tree = await self.call("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def call(self, method: str, **params: Any) -> Any:
        """One BiDi command; one at a time."""
        number = next(self._ids)
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(60):
            while True:
                message = json.loads(await self._socket.receive_str())
                if message.get("id") == number:
                    break
        if message["type"] == "error":
            raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
        return message["result"]

    async def open(self, url: str) -> None:
        """Show a page."""
        await self.call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited in the page: a string, a number or a boolean."""
        result = await self.call(
            "script.evaluate",
            expression=script,
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if result["type"] == "exception":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return result["result"].get("value")

    async def until(self, condition: str, timeout_s: float = 30.0) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(timeout_s):
            while not await self.run(f"Boolean({condition})"):
                await asyncio.sleep(0.1)
