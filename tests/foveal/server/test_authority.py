"""What holders of small tokens try in sessions of others, and what ends with a token."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devices.http.admission import Grant, hash_token
from foveal.live.recording import RecordPolicy
from foveal.server.app import ServeConfig
from foveal.server.auth.tokens import TokenFile
from tests.foveal.live.live_rig import SAID, until
from tests.foveal.server.serve_rig import PeerClient, Site, SocketClient

TOKENS = {
    "wearer": "publish view ask record",
    "other": "publish view ask record",
    "screen": "view",
    "asker": "view ask",
    "camera": "publish",
    "boss": "admin view record",
}


def grants() -> Sequence[Grant]:
    return [Grant(hash_token(token), frozenset(scopes.split())) for token, scopes in TOKENS.items()]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def watch(site: Site, token: str, conversation: str) -> SocketClient:
    return await site.socket(f"?conversation={conversation}", **bearer(token))


async def wear(site: Site, token: str = "wearer") -> tuple[PeerClient, str]:
    wearer = PeerClient()
    assert await wearer.connect(site, **bearer(token)) == 201
    name = str((await wearer.until("hello"))["conversation"])
    await wearer.until("regions", 2)
    return wearer, name


@pytest.fixture
def config(tmp_path: Path) -> ServeConfig:
    return ServeConfig(grants, record=RecordPolicy(tmp_path))


async def test_a_screen_looks_and_an_asker_asks_and_neither_changes_anything(
    config: ServeConfig,
) -> None:
    async with Site(config) as site:
        wearer, name = await wear(site)
        assert wearer.of("hello")[0]["may"] == ["view", "ask", "publish", "record", "manage"]
        for token, may in (("screen", ["view"]), ("asker", ["view", "ask"])):
            screen = await watch(site, token, name)
            assert (await screen.until("hello"))["may"] == may
            forbidden: list[tuple[str, dict[str, Any]]] = [
                ("record", {"on": True}),
                ("record", {"on": False}),
                ("stop", {}),
            ]
            forbidden += [("forget", {}), ("device", {"battery": 0.01})]
            forbidden += [] if "ask" in may else [("ask", {"text": "What is this?"})]
            forbidden += [] if "ask" in may else [("talk", {"on": True})]
            for number, (kind, data) in enumerate(forbidden, 1):
                await screen.say(kind, **data)
                assert "does not allow" in (await screen.until("error", number))["reason"]
            if "ask" in may:
                await screen.say("ask", text="What is this?")
                assert (await screen.until("end"))["text"] == SAID
            await screen.close()
        assert not [*wearer.of("recording"), *wearer.of("forgot"), *wearer.of("device")]
        boss = await watch(site, "boss", name)
        await boss.say("forget")
        await wearer.until("forgot")
        await boss.close()
        await wearer.close()


async def test_an_address_alone_is_no_key(config: ServeConfig) -> None:
    async with Site(config) as site:
        wearer, name = await wear(site)
        thief = PeerClient()  # with a token as good as the wearer's
        assert await thief.connect(site, f"?conversation={name}", **bearer("other")) == 403
        for token in ("camera", "screen", "asker"):
            status = await PeerClient().connect(site, f"?conversation={name}", **bearer(token))
            assert status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await watch(site, "camera", name)
        assert refused.value.status == 403
        guest = await watch(site, "other", name)
        await guest.say("record", on=True)
        assert "right to record" in (await guest.until("error"))["reason"]
        for method in ("DELETE", "PATCH"):
            headers = {**bearer("other"), "If-Match": "*"}
            headers["Content-Type"] = "application/trickle-ice-sdpfrag"
            answer = await site.http.request(method, wearer.location, data="a=x:y", headers=headers)
            assert answer.status == 404
        assert len(site.server.rooms.all) == 1 and site.server.rooms.all[0].live.camera
        assert wearer.peer.connectionState == "connected"
        await guest.close()
        own = await site.http.delete(wearer.location, headers=bearer("wearer"))
        assert own.status == 200
        await wearer.close()


async def test_a_camera_hears_and_sees_nothing_without_leave(config: ServeConfig) -> None:
    async with Site(config) as site:
        camera = PeerClient()
        assert await camera.connect(site, **bearer("camera")) == 201
        assert "right to view" in (await camera.until("error"))["reason"]
        await until(lambda: any(room.live.camera for room in site.server.rooms.all))
        camera.say("ask", text="What is this?")
        await asyncio.sleep(0.2)
        assert [message["type"] for message in camera.heard] == ["error"]
        await camera.close()


async def test_what_lives_on_a_token_ends_with_it(tmp_path: Path) -> None:
    file, owner = TokenFile(tmp_path / "tokens.json"), TokenFile(tmp_path / "tokens.json")
    TOKEN = {name: owner.add(name, ["publish", "view", "ask"], None) for name in ("one", "two")}
    screen = owner.add("screen", ["view"], None)
    async with Site(ServeConfig(file.grants)) as site:
        wearer, name = await wear(site, TOKEN["one"])
        looks = await watch(site, screen, name)
        await looks.until("hello")
        owner.revoke("screen")
        await until(lambda: looks.socket.closed, 10.0)
        assert looks.socket.close_code == 1008
        room = site.server.rooms.all[0]
        assert room.live.camera  # the wearer's own goes on
        owner.revoke("one")
        await until(lambda: room.closed.is_set(), 10.0)
        await until(lambda: not site.server.signals[0].sessions, 10.0)
        assert await PeerClient().connect(site, **bearer(TOKEN["one"])) == 401
        assert await PeerClient().connect(site, **bearer(TOKEN["two"])) == 201
        file.path.write_text("{")  # broken: nobody is let in, whoever is in goes
        await until(lambda: not site.server.rooms.all, 10.0)
        assert await PeerClient().connect(site, **bearer(TOKEN["two"])) == 503
        await wearer.close()
