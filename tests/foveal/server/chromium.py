"""Headless Chromium driven over the DevTools protocol, with files as camera and microphone."""

import asyncio
import contextlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """One page of a browser of its own."""

    def __init__(
        self, folder: Path, camera: Path | None = None, microphone: Path | None = None
    ) -> None:
        self._folder, self._camera, self._microphone = folder, camera, microphone
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.errors: list[str] = []  # exceptions and errors that the page logged

    async def __aenter__(self) -> "Browser":
        assert PROGRAM is not None
        options = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
            *("--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"),
            *("--disable-features=Translate", "--disable-background-timer-throttling"),
            *("--hide-scrollbars", f"--user-data-dir={self._folder}"),
        ]
        if self._camera is not None:
            options.append(f"--use-file-for-fake-video-capture={self._camera}")
        if self._microphone is not None:
            options.append(f"--use-file-for-fake-audio-capture={self._microphone}")
        silent = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, *options, "about:blank", stdout=silent, stderr=silent
        )
        self._http = aiohttp.ClientSession()
        try:
            await self._attach()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._http.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _attach(self) -> None:
        told = self._folder / "DevToolsActivePort"
        async with asyncio.timeout(40):
            while not (told.is_file() and "\n" in told.read_text()):
                await asyncio.sleep(0.05)
            port = int(told.read_text().split()[0])
            while True:
                async with self._http.get(f"http://127.0.0.1:{port}/json/list") as response:
                    pages = [page for page in await response.json() if page["type"] == "page"]
                if pages:
                    break
                await asyncio.sleep(0.05)
        url = pages[0]["webSocketDebuggerUrl"]
        self._page = await self._http.ws_connect(url, max_msg_size=0)
        self._reading = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")

    async def _read(self) -> None:
        async for text in self._page:
            message = json.loads(text.data)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", details).get("description", "?"))
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["level"] == "error":
                    self.errors.append(f"{entry['text']} {entry.get('url', '')}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._page.send_str(json.dumps({"id": number, "method": method, "params": params}))
        answer = await asyncio.wait_for(self._answers[number], 120)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    async def open(
        self, url: str, width: int = 1100, height: int = 700, phone: bool = False
    ) -> None:
        """Show a page in a window of that size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited in the page."""
        result = await self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description", "?"))
        return result["result"].get("value")

    async def until(self, condition: str, timeout_s: float = 20.0) -> None:
        """Wait until an expression is true."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.run(f"Boolean({condition})"):
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise AssertionError(f"never true: {condition}; page errors: {self.errors}") from error

    async def click(self, x: float, y: float) -> None:
        """A click at CSS pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def hold_space_until(self, condition: str, longest_s: float = 14.0) -> None:
        """Push-to-talk by the keyboard, until an expression is true or for so long."""
        key = {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=" ", **key)
        with contextlib.suppress(AssertionError):
            await self.until(condition, longest_s)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **key)
