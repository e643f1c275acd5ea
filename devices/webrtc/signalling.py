"""WebRTC sessions by one HTTP POST, over aiohttp: WHIP (RFC 9725), WHEP, and a duplex form.

WHIP: a camera publishes. WHEP (draft-ietf-wish-whep): a client receives the spoken answer and the
annotated view. Duplex: the same requests for a browser or phone that does both at once, and may
open a data channel.

    POST   {prefix}        offer in, answer out: 201 with Location and ETag
    PATCH  {prefix}/{id}   trickle ICE candidates: 204
    DELETE {prefix}/{id}   end of the session: 200
    OPTIONS                CORS, Accept-Post, ICE servers

Any other method answers 405: its use is reserved; HEAD on a WHEP endpoint answers 200.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiortc import RTCIceServer

from devices.webrtc.admission import RateLimit, Tokens
from devices.webrtc.policy import ReceiveOptions
from devices.webrtc.problems import Problem
from devices.webrtc.sdp import Role, check_offer, parse_fragment
from devices.webrtc.session import PeerSession
from stream.clock import NS_PER_S, Clock

logger = logging.getLogger(__name__)

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
METHODS = "OPTIONS, POST, PATCH, DELETE"

SessionHandler = Callable[[PeerSession], Awaitable[None]]
TrackMaker = Callable[[PeerSession], Sequence[Any]]  # tracks to send; may raise Problem


@dataclass(frozen=True, slots=True)
class SignalConfig:
    """How the endpoint behaves."""

    prefix: str = "/whip"
    token_digests: tuple[str, ...] | None = None  # SHA-256 in hex; None = no authentication
    max_sessions: int = 8
    retry_after_s: int = 5  # told with 503
    max_body_bytes: int = 64 * 1024
    connect_timeout_s: float = 15.0  # from answer to DTLS, then the slot is free again
    handler_grace_s: float = 3.0  # a handler may finish so long after its session ended
    requests_per_s: float = 5.0  # per address, over time
    burst: int = 20  # per address, at once
    allowed_origins: tuple[str, ...] = ()  # browsers' origins (CORS); "*" allows all
    ice_servers: tuple[RTCIceServer, ...] = ()  # told to clients, and used here
    receive: ReceiveOptions = field(default_factory=ReceiveOptions)


class SignalServer:
    """One endpoint and its sessions.

    `handler` runs once per session, from its start to its end; when it returns, the session is
    closed. `make_tracks` gives what the client is to receive.
    """

    def __init__(
        self,
        config: SignalConfig,
        handler: SessionHandler,
        clock: Clock,
        role: Role = Role.PUBLISH,
        make_tracks: TrackMaker | None = None,
    ) -> None:
        self._role = role
        self._make_tracks = make_tracks
        self._config = config
        self._handler = handler
        self._clock = clock
        self._tokens = None if config.token_digests is None else Tokens(config.token_digests)
        self._limit = RateLimit(clock, config.requests_per_s, config.burst)
        self._sessions: dict[str, PeerSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0

    @property
    def sessions(self) -> list[PeerSession]:
        """Sessions open now."""
        return list(self._sessions.values())

    def routes(self) -> list[web.RouteDef]:
        """What to add to an application."""
        endpoint, session = self._config.prefix, self._config.prefix + "/{id}"
        return [
            web.options(endpoint, self._guard(self._options)),
            web.post(endpoint, self._guard(self._publish)),
            web.route("*", endpoint, self._guard(self._reserved)),
            web.options(session, self._guard(self._options)),
            web.patch(session, self._guard(self._patch)),
            web.delete(session, self._guard(self._delete)),
            web.route("*", session, self._guard(self._reserved)),
        ]

    async def close(self) -> None:
        """End all sessions and wait for their handlers."""
        await asyncio.gather(*(session.close() for session in self.sessions))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish(self, request: web.Request) -> web.Response:
        self._authorize(request)
        text = await self._body(request, SDP)
        offer = check_offer(text, self._role)
        if len(self._sessions) + self._starting >= self._config.max_sessions:
            raise Problem(
                503,
                f"all {self._config.max_sessions} sessions are in use; try again later",
                {"Retry-After": str(self._config.retry_after_s)},
            )
        self._starting += 1
        try:
            config = self._config
            session = PeerSession(self._clock, config.receive, config.ice_servers, request.query)
            tracks = self._make_tracks(session) if self._make_tracks else ()
            answer = await session.answer(offer, tracks)
        finally:
            self._starting -= 1
        self._sessions[session.id] = session
        self._spawn(self._run(session))
        response = web.Response(status=201, text=answer, content_type=SDP)
        response.headers["Location"] = f"{request.path.rstrip('/')}/{session.id}"
        response.headers["ETag"] = session.etag
        response.headers["Accept-Patch"] = FRAGMENT
        self._add_links(response)
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        self._authorize(request)
        session = self._find(request)
        if request.content_type != FRAGMENT:
            raise Problem(415, f"expected {FRAGMENT}, got {request.content_type}")
        match = request.headers.get("If-Match")
        if match is None:
            raise Problem(428, "expected an If-Match header with the session's ETag")
        if match not in (session.etag, "*"):
            raise Problem(412, "If-Match is not this session's ETag", {"ETag": session.etag})
        await session.trickle(parse_fragment(await self._body(request, FRAGMENT)))
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        self._authorize(request)
        await self._find(request).close()
        return web.Response(status=200)

    async def _options(self, request: web.Request) -> web.Response:
        response = web.Response(status=200)
        response.headers["Accept-Post"] = SDP
        response.headers["Allow"] = METHODS
        preflight = "Access-Control-Request-Method" in request.headers
        if not preflight and self._known(request):
            self._add_links(response)
        return response

    async def _reserved(self, request: web.Request) -> web.Response:
        if request.method == "HEAD" and self._role is Role.PLAY and "id" not in request.match_info:
            return web.Response(content_type=SDP)  # how WHEP endpoints are discovered
        allow = "OPTIONS, PATCH, DELETE" if "id" in request.match_info else "OPTIONS, POST"
        raise Problem(405, f"{request.method} is reserved here", {"Allow": allow})

    def _guard(
        self, handle: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Rate limit, refusals as problem documents, CORS headers on whatever goes out."""

        async def guarded(request: web.Request) -> web.Response:
            try:
                if request.method != "OPTIONS":
                    self._throttle(request)
                response = await handle(request)
            except Problem as problem:
                response = problem.response()
            self._add_cors(request, response)
            return response

        return guarded

    def _throttle(self, request: web.Request) -> None:
        wait_s = self._limit.wait_s(request.remote or "")
        if wait_s:
            raise Problem(429, "too many requests", {"Retry-After": str(math.ceil(wait_s))})

    def _known(self, request: web.Request) -> bool:
        return self._tokens is None or self._tokens.accepts(request.headers.get("Authorization"))

    def _authorize(self, request: web.Request) -> None:
        if not self._known(request):
            given = "Authorization" in request.headers
            challenge = 'Bearer realm="whip"' + (', error="invalid_token"' if given else "")
            raise Problem(401, "expected a known bearer token", {"WWW-Authenticate": challenge})

    def _find(self, request: web.Request) -> PeerSession:
        session = self._sessions.get(request.match_info["id"])
        if session is None:
            raise Problem(404, "no such session; it may have ended")
        return session

    async def _body(self, request: web.Request, content_type: str) -> str:
        if request.content_type != content_type:
            raise Problem(415, f"expected {content_type}, got {request.content_type}")
        limit = self._config.max_body_bytes
        if (request.content_length or 0) > limit:
            raise Problem(413, f"expected at most {limit} bytes")
        body = bytearray()
        async for chunk in request.content.iter_chunked(8192):
            body += chunk
            if len(body) > limit:
                raise Problem(413, f"expected at most {limit} bytes")
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise Problem(400, "expected UTF-8 text") from error

    async def _run(self, session: PeerSession) -> None:
        """Live through one session: handler and connection end together."""
        handler = asyncio.ensure_future(self._handler(session))
        closed = asyncio.create_task(session.closed.wait())
        late = asyncio.create_task(self._close_unless_connected(session))
        try:
            await asyncio.wait({handler, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sessions.pop(session.id, None)
            late.cancel()
            closed.cancel()
            await session.close()
            await self._finish(handler)

    async def _finish(self, handler: asyncio.Future[None]) -> None:
        """Let the handler see the end of its frames, then make sure that it ends."""
        try:
            await asyncio.wait_for(handler, timeout=self._config.handler_grace_s)
        except TimeoutError:
            logger.warning("a session's handler did not end with its session; cancelled")
        except Exception:
            logger.exception("a session's handler failed")

    async def _close_unless_connected(self, session: PeerSession) -> None:
        timeout_ns = round(self._config.connect_timeout_s * NS_PER_S)
        await self._clock.sleep_until(self._clock.now_ns() + timeout_ns)
        if not session.connected.is_set():
            logger.info("session %s… never connected", session.id[:6])
            await session.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add_links(self, response: web.Response) -> None:
        for server in self._config.ice_servers:
            for link in ice_links(server):
                response.headers.add("Link", link)

    def _add_cors(self, request: web.Request, response: web.Response) -> None:
        origin = request.headers.get("Origin")
        allowed = self._config.allowed_origins
        if origin is None or not ("*" in allowed or origin in allowed):
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
        response.headers["Access-Control-Expose-Headers"] = "Location, ETag, Link, Accept-Patch"


def ice_links(server: RTCIceServer) -> Sequence[str]:
    """Link header values for one ICE server (RFC 9725 section 4.6)."""
    urls = [server.urls] if isinstance(server.urls, str) else server.urls
    links = []
    for url in urls:
        link = f'<{url}>; rel="ice-server"'
        if server.username is not None:
            link += f'; username="{_quoted(server.username)}"'
            link += f'; credential="{_quoted(server.credential or "")}"'
            link += f'; credential-type="{server.credentialType}"'
        links.append(link)
    return links


def build_app(*servers: SignalServer) -> web.Application:
    """An aiohttp application with these endpoints; it ends their sessions at shutdown."""
    app = web.Application()
    for server in servers:
        app.add_routes(server.routes())

    async def close(_: web.Application) -> None:
        await asyncio.gather(*(server.close() for server in servers))

    app.on_shutdown.append(close)
    return app


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
