"""Refusals of HTTP requests, told as RFC 9457 problem documents."""

import json
from collections.abc import Mapping

from aiohttp import web

from stream.errors import FovealError


class Problem(FovealError):
    """A request that is refused: a status, a reason in words, extra headers."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The HTTP response that says so."""
        return web.Response(
            status=self.status,
            text=json.dumps({"status": self.status, "detail": self.detail}),
            content_type="application/problem+json",
            headers=self.headers,
        )
