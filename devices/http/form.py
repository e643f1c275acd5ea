"""Multipart forms (RFC 7578): aiohttp's reader, held to so many bytes and lines."""

from typing import Any

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from devices.http.problems import Problem

MAX_LINES = 256  # boundaries and headers: aiohttp reads those one by one, however many come
# What is small when it comes may be large when it is decoded (RFC 7578 section 4.7 gives it up).
ENCODINGS = frozenset({"Content-Encoding", "Content-Transfer-Encoding"})
MALFORMED = (ValueError, LookupError, AssertionError, RuntimeError, HttpProcessingError)


async def read_form(
    request: web.Request, wanted: frozenset[str], max_bytes: int
) -> dict[str, bytes]:
    """The `wanted` fields of a form; the last one of a name counts.

    Raises Problem 413 beyond `max_bytes` in all, 400 for anything else that is no such form.
    """
    content: Any = _Bounded(request.content, max_bytes)
    fields: dict[str, bytes] = {}
    try:
        form = MultipartReader(request.headers, content)
        while (part := await form.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise Problem(400, "expected a flat form, got one inside another")
            if part.name in wanted:
                if any(name in part.headers for name in ENCODINGS):
                    raise Problem(400, f"expected the field {part.name} as it is, not encoded")
                fields[part.name] = bytes(await part.read())
    except MALFORMED as error:
        raise Problem(400, f"malformed form: {error}"[:200]) from error
    return fields


class _Bounded:
    """What aiohttp's reader reads: so many bytes and lines of the request, then a Problem."""

    def __init__(self, content: StreamReader, max_bytes: int) -> None:
        self._content, self._max_bytes = content, max_bytes
        self._left, self._lines = max_bytes, MAX_LINES
        self.at_eof, self.unread_data = content.at_eof, self._unread

    async def read(self, size: int) -> bytes:
        return self._count(await self._content.read(size))

    async def readline(self, **limits: int) -> bytes:
        self._lines -= 1
        if self._lines < 0:
            raise Problem(400, f"expected at most {MAX_LINES} lines around a form's fields")
        return self._count(await self._content.readline(**limits))

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise Problem(413, f"expected at most {self._max_bytes} bytes")
        return data

    def _unread(self, data: bytes) -> None:
        self._left += len(data)
        self._content.unread_data(data)
