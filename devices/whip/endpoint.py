"""WebRTC sessions by one HTTP POST, over aiohttp: WHIP (RFC 9725), WHEP, and a duplex form.

WHIP: a camera publishes. WHEP (draft-ietf-wish-whep): a client receives the spoken answer and the
annotated view. Duplex: the same requests for a browser or phone that does both at once, and may
open a data channel.

    POST   {prefix}        offer in, answer out: 201 with Location and ETag
    PATCH  {prefix}/{id}   trickle ICE candidates: 204; ICE restart: 200 with our fragment
    DELETE {prefix}/{id}   end of the session: 200
    OPTIONS                CORS, Accept-Post, ICE servers
    GET, HEAD              204: there is nothing to read (RFC 9725 section 4.1)

Any other method answers 405: its use is reserved. HEAD on a WHEP endpoint answers 200.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiortc import RTCIceServer

from devices.http.admission import Grant
from devices.http.gate import TOKEN, Gate, GateConfig
from devices.http.problems import Problem
from devices.http.proxies import PREFIX
from devices.video.policy import ReceiveOptions
from devices.webrtc.turn import IceServer, current_servers
from devices.whip.sdp import Role, check_offer, parse_fragment
from devices.whip.session import PeerSession
from stream.clock import NS_PER_S, Clock

logger = logging.getLogger(__name__)

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
METHODS = "OPTIONS, GET, HEAD, POST, PATCH, DELETE"
ANY_TAG = ("*", '"*"')  # RFC 9725 writes it both ways

SessionHandler = Callable[[PeerSession], Awaitable[None]]
Abandon = Callable[[PeerSession], Awaitable[None]]
TrackMaker = Callable[[PeerSession], Sequence[Any]]  # tracks to send; may raise Problem


@dataclass(frozen=True, slots=True)
class SignalConfig:
    """How the endpoint behaves."""

    prefix: str = "/whip"
    gate: GateConfig = field(default_factory=GateConfig)  # tokens, rate limit, CORS
    max_sessions: int = 8
    retry_after_s: int = 5  # told with 503
    connect_timeout_s: float = 15.0  # from answer to DTLS, then the slot is free again
    handler_grace_s: float = 3.0  # a handler may finish so long after its session ended
    ice_servers: tuple[IceServer, ...] = ()  # told to clients, and used here
    announce: tuple[str, ...] = ()  # addresses that others know this machine by
    receive: ReceiveOptions = field(default_factory=ReceiveOptions)


class SignalServer:
    """One endpoint and its sessions.

    `handler` runs once per session, from its start to its end; when it returns, the session is
    closed. `make_tracks` gives what the client is to receive, before the offer is answered: here a
    place is reserved, or refused with Problem. `abandon` gives it back where no answer came about.
    """

    def __init__(
        self,
        config: SignalConfig,
        handler: SessionHandler,
        clock: Clock,
        role: Role = Role.PUBLISH,
        make_tracks: TrackMaker | None = None,
        abandon: Abandon | None = None,
    ) -> None:
        self._role = role
        self._make_tracks, self._abandoned = make_tracks, abandon
        self._config = config
        self._handler = handler
        self._clock = clock
        self._gate = Gate(config.gate, clock)
        self._sessions: dict[str, PeerSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0

    @property
    def sessions(self) -> list[PeerSession]:
        """Sessions open now."""
        return list(self._sessions.values())

    def routes(self) -> list[web.RouteDef]:
        """What to add to an application."""
        guard = self._gate.guard
        endpoint, session = self._config.prefix, self._config.prefix + "/{id}"
        return [
            web.options(endpoint, guard(self._options)),
            web.post(endpoint, guard(self._publish)),
            web.route("*", endpoint, guard(self._reserved)),
            web.options(session, guard(self._options)),
            web.patch(session, guard(self._patch)),
            web.delete(session, guard(self._delete)),
            web.route("*", session, guard(self._reserved)),
        ]

    async def close(self) -> None:
        """End all sessions and wait for their handlers."""
        await asyncio.gather(*(one.close("the server ends") for one in self.sessions))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish(self, request: web.Request) -> web.Response:
        grant = self._gate.authorize(request)
        text = await self._gate.text(request, SDP)
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
            session = PeerSession(
                self._clock,
                config.receive,
                config.ice_servers,
                {name: value for name, value in request.query.items() if name != TOKEN},
                config.announce,
                grant,
            )
            session.offer = offer
            try:
                tracks = self._make_tracks(session) if self._make_tracks else ()
                answer = await session.answer(offer, tracks)
            except BaseException:
                await self._abandon(session)
                raise
        finally:
            self._starting -= 1
        self._sessions[session.id] = session
        self._spawn(self._run(session))
        response = web.Response(status=201, text=answer, content_type=SDP)
        endpoint = request.get(PREFIX, "") + request.path.rstrip("/")
        token = self._gate.url_token(request)
        query = f"?{urlencode({TOKEN: token})}" if token else ""  # it needs it again
        response.headers["Location"] = f"{endpoint}/{session.id}{query}"
        response.headers["ETag"] = session.etag
        response.headers["Accept-Patch"] = FRAGMENT
        self._add_links(response)
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        session = self._find(request, self._gate.authorize(request))
        if request.content_type != FRAGMENT:
            raise Problem(415, f"expected {FRAGMENT}, got {request.content_type}")
        match = request.headers.get("If-Match")
        if match is None:
            raise Problem(428, "expected an If-Match header with the session's ETag")
        if not {tag.strip() for tag in match.split(",")} & {session.etag, *ANY_TAG}:
            raise Problem(412, "If-Match is not this session's ETag", {"ETag": session.etag})
        fragment = parse_fragment(await self._gate.text(request, FRAGMENT))
        if not session.restarts(fragment):
            await session.trickle(fragment)
            return web.Response(status=204)
        text = await session.restart(fragment)
        return web.Response(text=text, content_type=FRAGMENT, headers={"ETag": session.etag})

    async def _delete(self, request: web.Request) -> web.Response:
        await self._find(request, self._gate.authorize(request)).close("the client ended it")
        return web.Response(status=200)

    async def _options(self, request: web.Request) -> web.Response:
        response = web.Response(status=200)
        response.headers["Accept-Post"] = SDP
        response.headers["Allow"] = METHODS
        preflight = "Access-Control-Request-Method" in request.headers
        if not preflight and self._gate.knows(request):
            self._add_links(response)
        return response

    async def _reserved(self, request: web.Request) -> web.Response:
        one = "id" in request.match_info
        if request.method in ("GET", "HEAD"):
            if one:
                self._find(request, self._gate.authorize(request))
            elif request.method == "HEAD" and self._role is Role.PLAY:
                return web.Response(content_type=SDP)  # how WHEP endpoints are discovered
            return web.Response(status=204)
        allow = "PATCH, DELETE" if one else "POST"
        raise Problem(
            405, f"{request.method} is reserved here", {"Allow": f"OPTIONS, GET, HEAD, {allow}"}
        )

    def _find(self, request: web.Request, grant: Grant) -> PeerSession:
        session = self._sessions.get(request.match_info["id"])
        if session is None or session.grant.digest != grant.digest:  # its address alone is no key
            raise Problem(404, "no such session; it may have ended")
        return session

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
            tell = logger.info if session.connected.is_set() else logger.warning
            tell("session %s… has ended: %s", session.id[:6], session.reason)
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
            waited_s = self._config.connect_timeout_s
            await session.close(f"no connection in {waited_s:g} s ({session.progress()})")

    async def _abandon(self, session: PeerSession) -> None:
        await session.close()
        if self._abandoned is not None:
            await self._abandoned(session)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add_links(self, response: web.Response) -> None:
        for server in current_servers(self._config.ice_servers):
            for link in ice_links(server):
                response.headers.add("Link", link)


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
