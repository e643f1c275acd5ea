"""What a server tells of itself over HTTP, and who may ask a server without tokens."""

from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from aiohttp import web

from devices.http.gate import Gate
from devices.http.problems import Problem
from foveal.live.registry import Rooms
from foveal.server.peers import ServeConfig


class StatusSource(Protocol):
    """What is told of."""

    config: ServeConfig
    rooms: Rooms

    def state(self) -> dict[str, Any]:
        """The server in numbers, without any secret."""


TO_STRANGERS = ("status", "protocol", "token_needed")


def status_routes(server: StatusSource, known: Gate, admin: Gate) -> list[web.RouteDef]:
    """/health: the process lives; /ready: one may come; for admins /sessions and /outgoing."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": project_version()})

    async def ready(request: web.Request) -> web.Response:
        """200 when a session would be taken, else 503 with the reason; more for known tokens."""
        state = server.state()
        if not known.knows(request):
            state = {name: state[name] for name in TO_STRANGERS}
        taken = state["status"] == "ready"
        retry = {} if taken else {"Retry-After": str(server.config.limits.retry_after_s)}
        return web.json_response(state, status=200 if taken else 503, headers=retry)

    async def sessions(request: web.Request) -> web.Response:
        admin.authorize(request)
        rows = [
            {
                "conversation": room.id,
                "active": room.active,
                "camera": room.live.camera,
                "waiting": room.live.waiting,
                "device": room.device,
            }
            for room in server.rooms.all
        ]
        return web.json_response(rows)

    async def outgoing(request: web.Request) -> web.Response:
        """What left the machine last, of all sessions, oldest first."""
        admin.authorize(request)
        return web.json_response([sent.as_json() for sent in server.config.outgoing.recent])

    return [
        web.get("/health", health),
        web.get("/ready", ready),
        web.get("/sessions", admin.guard(sessions)),
        web.get("/outgoing", admin.guard(outgoing)),
    ]


async def add_defences(_: web.Request, response: web.StreamResponse) -> None:
    """On all that goes out: no page of another site embeds it, no browser guesses its kind."""
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")


@web.middleware
async def local_hosts_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Without tokens only this machine may come: a name that somebody rebinds to it may not."""
    host = (request.url.host or "").lower()
    if host not in ("localhost", "127.0.0.1", "::1"):
        return Problem(403, "expected localhost as the host, as no token is needed").response()
    return await handler(request)


def project_version() -> str:
    """The installed version, as `pip` tells it."""
    try:
        return version("foveal")
    except PackageNotFoundError:
        return "unknown"
