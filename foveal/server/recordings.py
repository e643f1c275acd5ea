"""Recordings over HTTP: list, play, remove. Admins only."""

import asyncio
import logging
from concurrent.futures import Executor

from aiohttp import web

from devices.http.gate import Gate, Handler
from devices.http.problems import Problem
from foveal.live.recording import VIEW, Library, make_view
from stream.errors import OutputError

logger = logging.getLogger(__name__)

KINDS = {".mp4": "video/mp4", ".jsonl": "application/x-ndjson"}


class RecordPages:
    """The endpoints; all answer 404 while recording is off."""

    def __init__(self, library: Library | None, gate: Gate, pool: Executor) -> None:
        """`pool` makes the views that browsers can play."""
        self._library, self._gate, self._pool = library, gate, pool

    def routes(self) -> list[web.RouteDef]:
        """What to add to an application."""
        return [
            web.get("/recordings", self._guarded(self._list)),
            web.get("/recordings/{id}/{file}", self._guarded(self._file)),
            web.delete("/recordings/{id}", self._guarded(self._remove)),
        ]

    def _guarded(self, handle: Handler) -> Handler:
        async def authorized(request: web.Request) -> web.StreamResponse:
            self._gate.authorize(request)
            return await handle(request)

        return self._gate.guard(authorized)

    def _known(self) -> Library:
        if self._library is None:
            raise Problem(404, "recording is off on this server (see `foveal serve --record`)")
        return self._library

    async def _list(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(await asyncio.to_thread(self._known().all))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        library, name = self._known(), request.match_info["id"]
        file = request.match_info["file"]
        path = library.path(name, file)
        if path is None and file == VIEW and any(row["id"] == name for row in library.all()):
            loop = asyncio.get_running_loop()
            folder = library.folder / name
            try:  # when it is first asked for
                await loop.run_in_executor(self._pool, make_view, folder)
            except OutputError as error:
                raise Problem(404, str(error)) from error
            path = library.path(name, file)
        if path is None:
            raise Problem(404, "no such recording, or no such file of it")
        headers = {"Content-Type": KINDS[path.suffix], "Cache-Control": "no-store"}
        return web.FileResponse(path, headers=headers)

    async def _remove(self, request: web.Request) -> web.StreamResponse:
        if not self._known().remove(request.match_info["id"]):
            raise Problem(404, "no such recording")
        return web.Response(status=204)
