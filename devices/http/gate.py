"""What every HTTP endpoint here does first: rate limit, origin, token, bounded body, CORS."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from devices.http.admission import ANYBODY, Grant, RateLimit, Tokens
from devices.http.form import read_form
from devices.http.problems import Problem
from stream.clock import Clock, UnixClock
from stream.errors import ConfigError

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN = "token"  # noqa: S105 - a name in URLs
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # change nothing (RFC 9110 section 9.2.1)


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Who may ask, how often, how much."""

    token_digests: tuple[str, ...] | None = None  # SHA-256 in hex; None = no authentication
    grants: Callable[[], Sequence[Grant]] | None = None  # tokens with scopes and expiry
    scope: str | None = None  # that a token of `grants` needs here
    token_in_url: bool = False  # whether ?token= will do, for devices that can set no header
    requests_per_s: float = 5.0  # per address, over time
    burst: int = 20  # per address, at once
    max_body_bytes: int = 64 * 1024
    body_timeout_s: float = 60.0  # for all of it
    allowed_origins: tuple[str, ...] = ()  # browsers' origins (CORS); "*" allows all
    methods: str = "OPTIONS, POST, PATCH, DELETE"  # told to browsers


class Gate:
    """Refuses with Problem what may not pass."""

    def __init__(self, config: GateConfig, clock: Clock) -> None:
        self._config = config
        self._tokens: Tokens | None = None
        if config.token_digests is not None or config.grants is not None:
            fixed = [Grant(digest) for digest in config.token_digests or ()]
            more = config.grants or (lambda: ())
            self._tokens = Tokens(lambda: [*fixed, *more()], UnixClock())
        self._limit = RateLimit(clock, config.requests_per_s, config.burst)

    def guard(self, handle: Handler) -> Handler:
        """Rate limit and origin before, refusals as problem documents, CORS on what goes out."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                if request.method != "OPTIONS":
                    self.throttle(request)
                if request.method not in SAFE:
                    self.check_origin(request)
                response = await handle(request)
            except Problem as problem:
                response = problem.response()
            self._add_cors(request, response)
            return response

        return guarded

    def knows(self, request: web.Request) -> bool:
        """Whether the request carries a token that suffices, or none is needed."""
        try:
            self.authorize(request)
        except Problem:
            return False
        return True

    def authorize(self, request: web.Request) -> Grant:
        """What the request's token grants.

        Raises Problem 401 unless it is known, 403 unless it suffices.
        """
        token = self.url_token(request)
        return self.check(f"Bearer {token}" if token else request.headers.get("Authorization"))

    def url_token(self, request: web.Request) -> str | None:
        """The token in the request's URL, where that counts and no header has one."""
        if not self._config.token_in_url or "Authorization" in request.headers:
            return None
        return request.query.get(TOKEN)

    def check(self, authorization: str | None) -> Grant:
        """The same for a header."""
        scope = self._config.scope
        if self._tokens is None:
            return ANYBODY
        try:
            grant = self._tokens.grant(authorization)
        except ConfigError as unread:
            logger.error("nobody is let in: %s", unread)
            raise Problem(503, "the tokens cannot be read; see the log of the server") from unread
        if grant is None:
            error = ', error="invalid_token"' if authorization else ""
            challenge = f'Bearer realm="foveal"{error}'
            raise Problem(401, "expected a known bearer token", {"WWW-Authenticate": challenge})
        if not grant.allows(scope):
            challenge = f'Bearer realm="foveal", error="insufficient_scope", scope="{scope}"'
            raise Problem(
                403, f"this token lacks the scope {scope}", {"WWW-Authenticate": challenge}
            )
        return grant

    def holds(self, grant: Grant) -> bool:
        """Whether a grant that was given is still; not while the tokens cannot be read."""
        try:
            return self._tokens is None or self._tokens.holds(grant)
        except ConfigError as error:
            logger.error("nobody is let in: %s", error)
            return False

    def check_origin(self, request: web.Request) -> None:
        """Raises Problem 403 for a page of another site, unless it is among the allowed ones.

        Browsers name the page that makes a request that changes something (Fetch, "Origin header"),
        or opens a WebSocket (RFC 6455 section 10.2): it must not use what its visitor may do.
        Programs name none.
        """
        origin = request.headers.get("Origin")
        if origin is None or self._allows(origin):
            return
        if urlsplit(origin).netloc.lower() != request.host.lower():
            raise Problem(403, "this page's origin is not allowed here (see `serve --origin`)")

    async def body(self, request: web.Request) -> bytes:
        """The whole body; raises Problem 413 when it is too long, 408 when it takes too long."""
        limit, body = self._config.max_body_bytes, bytearray()
        async with self._in_time(request):
            async for chunk in request.content.iter_chunked(65_536):
                body += chunk
                if len(body) > limit:
                    raise Problem(413, f"expected at most {limit} bytes")
        return bytes(body)

    async def form(self, request: web.Request, wanted: frozenset[str]) -> dict[str, bytes]:
        """The `wanted` fields of a multipart form; raises Problem 413, 408 or 400."""
        async with self._in_time(request):
            return await read_form(request, wanted, self._config.max_body_bytes)

    async def text(self, request: web.Request, content_type: str) -> str:
        """A UTF-8 body of one type; raises Problem 415, 413 or 400."""
        if request.content_type != content_type:
            raise Problem(415, f"expected {content_type}, got {request.content_type}")
        try:
            return (await self.body(request)).decode()
        except UnicodeDecodeError as error:
            raise Problem(400, "expected UTF-8 text") from error

    def throttle(self, request: web.Request) -> None:
        """Count one request; raises Problem 429 when its address sends too many."""
        wait_s = self._limit.wait_s(request.remote or "")
        if wait_s:
            raise Problem(429, "too many requests", {"Retry-After": str(math.ceil(wait_s))})

    @asynccontextmanager
    async def _in_time(self, request: web.Request) -> AsyncIterator[None]:
        limit, timeout_s = self._config.max_body_bytes, self._config.body_timeout_s
        if (request.content_length or 0) > limit:
            raise Problem(413, f"expected at most {limit} bytes")
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except TimeoutError as error:
            raise Problem(408, f"expected all of it within {timeout_s:g} s") from error

    def _allows(self, origin: str) -> bool:
        return "*" in self._config.allowed_origins or origin in self._config.allowed_origins

    def _add_cors(self, request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is None or not self._allows(origin):
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        response.headers["Access-Control-Allow-Methods"] = self._config.methods
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
        response.headers["Access-Control-Expose-Headers"] = "Location, ETag, Link, Accept-Patch"
