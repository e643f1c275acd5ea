"""Multipart forms: fields come out, and no bytes at all cost much or raise anything but Problem."""

import asyncio
import time
import zlib

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.http.form import MAX_LINES, read_form
from devices.http.gate import Gate, GateConfig
from devices.http.problems import Problem
from stream.clock import MonotonicClock

MIB = 1 << 20
HEAD = b'--b\r\nContent-Disposition: form-data; name="photo"\r\n'
END = b"\r\n--b--\r\n"


def post(body: bytes | None, kind: str = 'multipart/form-data; boundary="b"') -> web.Request:
    """A request with this body; one that never comes to its end for None."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = asyncio.Transport()
    content = StreamReader(protocol, 4 * MIB, loop=loop)
    content.feed_data(body if body is not None else HEAD)
    if body is not None:
        content.feed_eof()
    return make_mocked_request("POST", "/", {"Content-Type": kind}, payload=content)


async def read(body: bytes, limit: int = 4 * MIB) -> dict[str, bytes]:
    return await read_form(post(body), frozenset(("photo", "requestId")), limit)


async def test_wanted_fields_come_and_others_are_passed_over() -> None:
    body = (
        b"--b\r\nContent-Disposition: form-data; name=other\r\n\r\nx\r\n"
        b"--b\r\nContent-Disposition: form-data; name=requestId\r\n\r\nr-7\r\n"
        + HEAD
        + b"\r\n\x00\xff\r\n--b--\r\n"
    )
    assert await read(body) == {"requestId": b"r-7", "photo": b"\x00\xff"}
    binary = bytes(range(256)) * 100 + b"\r\n--\r\n"
    assert await read(HEAD + b"\r\n" + binary + END) == {"photo": binary}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("before the form", b"\n" * MIB + HEAD + b"\r\nx" + END),
        ("as headers", b"--b\r\n" + b"a:\r\n" * (MIB // 4) + b"\r\n" + END),
        ("as empty parts", b"--b\r\n\r\n\r\n" * (MIB // 9)),
        ("nothing else", b"\r\n" * (MIB // 2)),
    ],
)
async def test_a_million_lines_are_refused_at_once(name: str, body: bytes) -> None:
    begin = time.perf_counter()
    with pytest.raises(Problem) as caught:
        await read(body)
    assert caught.value.status == 400
    assert time.perf_counter() - begin < 0.5


async def test_a_million_lines_in_a_field_are_its_bytes() -> None:
    begin = time.perf_counter()
    assert await read(HEAD + b"\r\n" + b"\n" * MIB + END) == {"photo": b"\n" * MIB}
    assert time.perf_counter() - begin < 0.5


async def test_a_form_that_is_too_long_is_read_no_further() -> None:
    request = post(HEAD + b"\r\n" + b"x" * MIB + END)
    with pytest.raises(Problem, match="at most 1000 bytes") as caught:
        await read_form(request, frozenset(("photo",)), 1000)
    assert caught.value.status == 413
    assert request.content.total_bytes - len(request.content.read_nowait()) < 3 * 8192


async def test_a_form_or_body_that_does_not_come_is_not_waited_for() -> None:
    gate = Gate(GateConfig(body_timeout_s=0.05), MonotonicClock())
    for reading in (gate.form(post(None), frozenset(("photo",))), gate.body(post(None))):
        with pytest.raises(Problem, match="within 0.05 s") as caught:
            await reading
        assert caught.value.status == 408


@pytest.mark.parametrize(
    "encoding",
    [b"Content-Encoding: deflate", b"Content-Transfer-Encoding: base64", b"content-encoding: gzip"],
)
async def test_a_field_that_unpacks_to_more_is_refused(encoding: bytes) -> None:
    bomb = zlib.compress(b"x" * (64 * MIB))
    begin = time.perf_counter()
    with pytest.raises(Problem, match="not encoded") as caught:
        await read(HEAD + encoding + b"\r\n\r\n" + bomb + END)
    assert caught.value.status == 400
    assert time.perf_counter() - begin < 0.5


async def test_forms_within_forms_and_cut_off_ones_are_refused() -> None:
    nested = b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n" + END
    for body in (nested, HEAD + b"\r\nhalf a pho", b"", HEAD + b"Content-Transfer-Encoding: x\r\n"):
        with pytest.raises(Problem) as caught:
            await read(body)
        assert caught.value.status == 400


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(("b", "\u00e9", "b" * 71, "")))
@example(b"--b\r\nContent-Disposition: form-data; name=_charset_\r\n\r\n" + b"x" * 99, "b")
@example(b"\r\n" * (MAX_LINES + 1), "b")
def test_any_bytes_are_a_form_or_refused(junk: bytes, boundary: str) -> None:
    async def check() -> None:
        for body in (junk, b"--b\r\n" + junk, HEAD + b"\r\n" + junk + END):
            kind = f'multipart/form-data; boundary="{boundary}"' if boundary else "multipart/mixed"
            try:
                await read_form(post(body, kind), frozenset(("photo",)), 1000)
            except Problem as problem:
                assert problem.status in (400, 413)

    asyncio.run(check())
