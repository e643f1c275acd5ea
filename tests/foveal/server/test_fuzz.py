"""Anything at all over data channel and WebSocket: errors, and the session goes on."""

import json
import random
import string
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.http.admission import Grant, hash_token
from foveal.live.protocol.client import parse
from foveal.live.protocol.parts import VERSION
from foveal.live.room import RoomLimits
from foveal.server.app import ServeConfig
from stream.errors import PromptError
from tests.foveal.live.live_rig import until
from tests.foveal.server.serve_rig import PeerClient, Site

TOKEN = "let-me-in"
MANY = RoomLimits(messages_per_s=1e6, message_burst=10**6)
TYPES = ("ask", "stop", "ping", "talk", "device", "", "hello", "__class__", 3, None)
MEMBERS = ("text", "point", "box", "n", "on", "open_mic", "battery", "thermal", "v", "type")
DEEP = "[" * 3000


def rubbish(seed: int, count: int) -> list[str | bytes]:
    """Seeded nonsense: bytes, text, JSON of other shapes, messages with members gone wrong."""
    rng = random.Random(seed)

    def value() -> Any:
        return rng.choice(
            [None, True, -1, 1e308, "x" * 50, "\0\ud800", [], [0.5] * 4, [9, 9], {"a": []}, 2**70]
        )

    made: list[str | bytes] = [DEEP, "", "null", "[]", "x" * 9000, b"", b"\xff\xfe\x00", "NaN"]
    while len(made) < count:
        message = {"v": VERSION if rng.random() < 0.9 else value(), "type": rng.choice(TYPES)}
        for name in rng.sample(MEMBERS[:-2], rng.randrange(4)):
            message[name] = value()
        text = json.dumps(message)
        if rng.random() < 0.3:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(string.printable) + text[at + 1 :]
        made.append(text.encode() if rng.random() < 0.1 else text)
    return made


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(st.text(max_size=80), st.binary(max_size=80), st.integers(0, 10**6).map(lambda s: s))
)
def test_nothing_but_a_prompt_error_comes_of_any_message(raw: str | bytes | int) -> None:
    for message in rubbish(raw, 20) if isinstance(raw, int) else [raw]:
        try:
            parse(message)
        except PromptError as error:
            assert len(str(error)) < 500


def expected_errors(messages: list[str | bytes]) -> int:
    """How many of them are no message at all."""
    wrong = 0
    for message in messages:
        try:
            parse(message)
        except PromptError:
            wrong += 1
    return wrong


async def test_rubbish_over_both_channels_is_answered_with_errors() -> None:
    messages = [one for one in rubbish(3, 120) if '"ask"' not in str(one)]
    assert expected_errors(messages) > 60
    async with Site(ServeConfig(limits=MANY)) as site:
        wearer = PeerClient()
        assert await wearer.connect(site) == 201
        name = (await wearer.until("hello"))["conversation"]
        screen = await site.socket(f"?conversation={name}")
        await screen.until("hello")
        for message in messages:
            wearer.channel.send(message)
            if isinstance(message, str):  # bytes end a WebSocket: see below
                await screen.socket.send_str(message)
        await wearer.until("error", expected_errors(messages))
        await screen.until("error", expected_errors([m for m in messages if isinstance(m, str)]))
        wearer.say("ping", n=7)
        await until(lambda: any(pong["n"] == 7 for pong in wearer.of("pong")))
        wearer.say("ask", text="What is this?")
        assert (await wearer.until("end"))["text"]
        assert (await screen.until("end"))["text"]
        await screen.socket.send_bytes(b"not a message")
        await until(lambda: screen.socket.closed)
        assert site.server.rooms.all[0].log.links == 1
        await wearer.close()


@pytest.mark.parametrize("bad", ["", "x", "Bearer", "Bearer ", "Basic eDp5", "Bearer " + "x" * 500])
async def test_no_door_opens_without_the_token(bad: str) -> None:
    config = ServeConfig(lambda: [Grant(hash_token(TOKEN))])
    headers = {"Authorization": bad} if bad else {}
    async with Site(config) as site:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.socket("", ("foveal.v1", "bearer.x"), **headers)
        assert refused.value.status == 401
        for prefix in ("/session", "/whip", "/whep"):
            response = await site.http.post(
                prefix, data="v=0", headers={"Content-Type": "application/sdp", **headers}
            )
            assert response.status == 401
        for path in ("/sessions", "/recordings"):
            assert (await site.http.get(path, headers=headers)).status == 401
        assert not site.server.rooms.all
