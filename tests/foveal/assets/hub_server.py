"""A hub on this machine: one repository in the wire form of huggingface.co, with its faults."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import web

COMMIT = "1234567890abcdef1234567890abcdef12345678"


class Hub:
    """Serves `files` as the repository `name`; what is asked of it is kept."""

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        self.name, self.files = name, dict(files)
        self.gated = False
        self.cut: int | None = None  # bytes after which a download breaks off
        self.gigabytes = 0  # that the list of files says of each
        self.fetched: list[tuple[str, str | None]] = []  # file, Range
        self.url = ""

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{repo}/revision/{revision}", self._info)
        app.router.add_get("/api/models/{owner}/{repo}/tree/{revision}", self._tree)
        app.router.add_get("/{owner}/{repo}/resolve/{revision}/{file:.+}", self._file)
        return app

    def _refused(self, request: web.Request) -> web.Response | None:
        if f"{request.match_info['owner']}/{request.match_info['repo']}" != self.name:
            return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})
        if request.match_info["revision"] not in ("main", COMMIT):
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        if self.gated:
            return web.Response(status=403, headers={"X-Error-Code": "GatedRepo"})
        return None

    async def _info(self, request: web.Request) -> web.Response:
        siblings = [{"rfilename": name} for name in self.files]
        told = {"id": self.name, "modelId": self.name, "sha": COMMIT, "siblings": siblings}
        return self._refused(request) or web.json_response(told)

    async def _tree(self, request: web.Request) -> web.Response:
        rows = [
            {"type": "file", "path": name, "size": self._size(data), "oid": _etag(data)}
            for name, data in self.files.items()
        ]
        return self._refused(request) or web.json_response(rows)

    def _size(self, data: bytes) -> int:
        return self.gigabytes * 10**9 or len(data)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        refused = self._refused(request)
        name = request.match_info["file"]
        if refused is not None or name not in self.files:
            return refused or web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        data, asked = self.files[name], request.headers.get("Range")
        headers = {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            size = str(self._size(data))
            return web.Response(headers={**headers, "Content-Length": size, "X-Linked-Size": size})
        self.fetched.append((name, asked))
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        headers["Content-Length"] = str(len(data) - start)
        answer = web.StreamResponse(status=206 if asked else 200, headers=headers)
        await answer.prepare(request)
        if self.cut is not None and len(data) > self.cut:
            await answer.write(data[start : max(start, self.cut)])
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write(data[start:])
        return answer


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def served(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port, on a thread of its own."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(hub.application(), handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address: Any = runner.addresses[0]
        hub.url = f"http://127.0.0.1:{address[1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield hub
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
