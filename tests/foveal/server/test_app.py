"""A live server over doubles, with real peers: aiortc for WebRTC, aiohttp for the WebSocket."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from devices.http.admission import Grant, hash_token
from foveal.live.recording import RecordPolicy
from foveal.live.room import RoomLimits
from foveal.server.app import ServeConfig
from stream.errors import PromptError
from tests.foveal.live.live_rig import SAID, until
from tests.foveal.server.serve_rig import PeerClient, Site


def granted(**tokens: str) -> ServeConfig:
    grants = [
        Grant(hash_token(token), frozenset(scopes.split())) for token, scopes in tokens.items()
    ]
    return ServeConfig(lambda: grants, ("https://glasses.example",))


async def test_a_browser_s_whole_session() -> None:
    async with Site(ServeConfig()) as site:
        wearer = PeerClient()
        assert await wearer.connect(site) == 201
        hello = await wearer.until("hello")
        assert hello["speech"] and not hello["listening"] and not hello["recording"]
        shown = await wearer.until("regions", 3)
        assert shown["size"] == [240, 320] and shown["regions"][0]["mask"]
        wearer.say("ask", text="What is this?", point=[0.25, 0.3])
        end = await wearer.until("end")
        assert end["text"] == SAID and end["spans"] and end["searches"]
        speech = await wearer.until("speech")
        assert speech["first_ms"] > 0
        loud = 0.0
        async with asyncio.timeout(10):
            while loud < 1000:
                heard = await wearer.tracks[-1].recv()
                loud = float(np.abs(heard.to_ndarray().astype(float)).mean())
        await until(lambda: any(one["masklets"] == 1 for one in wearer.of("stats")))
        assert wearer.of("stats")[-1]["keyframes"] >= 1
        wearer.say("ping", n=4)
        assert (await wearer.until("pong"))["n"] == 4
        numbers = [message["seq"] for message in wearer.heard if "seq" in message]
        assert numbers[1:] == list(range(numbers[0] + 1, numbers[-1] + 1))
        ready = await (await site.http.get("/ready")).json()
        assert ready["camera"] and ready["sessions"] == 1
        await wearer.close()


async def test_a_lost_client_comes_back_to_its_conversation() -> None:
    async with Site(ServeConfig()) as site:
        wearer = PeerClient()
        await wearer.connect(site)
        name = (await wearer.until("hello"))["conversation"]
        await wearer.until("regions", 2)
        wearer.say("ask", text="What is this?")
        await wearer.until("started")
        seen = wearer.seq
        await wearer.close()
        back = PeerClient()
        assert await back.connect(site, f"?conversation={name}&after={seen}") == 201
        hello = await back.until("hello")
        assert (hello["conversation"], hello["missed"]) == (name, 0)
        assert (await back.until("end"))["text"] == SAID
        numbers = [message["seq"] for message in back.heard[1:] if "seq" in message]
        assert numbers[0] == seen + 1 and numbers == list(range(seen + 1, numbers[-1] + 1))
        before = max(message["pts_ms"] for message in wearer.of("regions"))
        assert (await back.until("regions"))["pts_ms"] > before
        back.say("ask", text="And that?")
        assert (await back.until("end", 2))["turn"] == 2
        await back.close()


async def test_a_second_screen_hears_the_same_over_a_websocket() -> None:
    async with Site(ServeConfig()) as site:
        wearer = PeerClient()
        await wearer.connect(site)
        name = (await wearer.until("hello"))["conversation"]
        screen = await site.socket(f"?conversation={name}&after=0")
        assert (await screen.until("hello"))["camera"]
        await screen.until("regions", 2)
        await screen.say("ask", text="What is this?")
        assert (await screen.until("end"))["text"] == SAID
        assert (await wearer.until("end"))["text"] == SAID
        numbered = {m["seq"]: m for m in screen.heard if "seq" in m and m["type"] != "hello"}
        await until(lambda: wearer.seq >= screen.seq)
        same = {m["seq"]: m for m in wearer.heard if "seq" in m and m["type"] != "hello"}
        assert list(numbered) == list(range(1, screen.seq + 1))
        assert same == {seq: numbered[seq] for seq in same if seq in numbered}
        await screen.socket.send_str("{")
        assert "JSON" in (await screen.until("error"))["reason"]
        assert not wearer.of("error")
        await screen.close()
        await wearer.close()


async def test_a_camera_joins_the_session_of_a_text_client_and_a_player_hears_it() -> None:
    async with Site(ServeConfig()) as site:
        screen = await site.socket()
        name = (await screen.until("hello"))["conversation"]
        camera = PeerClient()
        for sender in camera.peer.getTransceivers():
            sender.direction = "sendonly"
        await camera.connect(site, f"?conversation={name}")
        assert (await screen.until("camera"))["on"]
        await screen.say("ask", text="What is this?")
        assert (await screen.until("end"))["text"] == SAID
        await camera.close()
        gone = await screen.until("camera", 2)
        assert not gone["on"] and gone["reason"]
        await screen.close()
        unknown = await site.http.post("/whep?conversation=nobody", data="v=0")
        assert unknown.status in (415, 404, 422)


async def test_tokens_decide_who_may_do_what() -> None:
    config = granted(camera="publish view ask", screen="view", boss="admin view")
    async with Site(config) as site:
        wearer = PeerClient()
        assert await wearer.connect(site) == 401
        assert await PeerClient().connect(site, Authorization="Bearer screen") == 403
        again = PeerClient()
        assert await again.connect(site, Authorization="Bearer camera") == 201
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.socket()
        assert refused.value.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.socket("", ("foveal.v1", "bearer.screen"))
        assert refused.value.status == 403  # who may only look starts nothing
        (room,) = site.server.rooms.all
        screen = await site.socket(f"?conversation={room.id}", ("foveal.v1", "bearer.screen"))
        assert screen.socket.protocol == "foveal.v1"
        await screen.until("hello")
        for path in ("/sessions", "/recordings", "/recordings/x/view.mp4"):
            assert (await site.http.get(path)).status == 401
            wrong = await site.http.get(path, headers={"Authorization": "Bearer screen"})
            assert wrong.status == 403
        listed = await site.http.get("/sessions", headers={"Authorization": "Bearer boss"})
        assert len(await listed.json()) == 1
        await screen.close()
        for one in (wearer, again):
            await one.close()


async def test_pages_of_other_sites_are_kept_out() -> None:
    async with Site(granted(screen="view publish")) as site:
        token = ("foveal.v1", "bearer.screen")
        for origin in (site.url, "https://glasses.example"):
            await (await site.socket("", token, Origin=origin)).close()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.socket("", token, Origin="https://evil.example")
        assert refused.value.status == 403
    async with Site(ServeConfig()) as site:
        rebound = await site.http.get("/ready", headers={"Host": "evil.example"})
        assert rebound.status == 403


async def test_a_full_server_says_so() -> None:
    limits = RoomLimits(max_sessions=1, retry_after_s=7)
    async with Site(ServeConfig(limits=limits)) as site:
        assert (await site.http.get("/ready")).status == 200
        screen = await site.socket()
        await screen.until("hello")
        ready = await site.http.get("/ready")
        assert (ready.status, ready.headers["Retry-After"]) == (503, "7")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.socket()
        assert refused.value.status == 503
        assert await PeerClient().connect(site) == 503
        assert (await site.http.get("/health")).status == 200
        await screen.close()
        await until(lambda: site.server.rooms.active == 0)
        await (await site.socket()).close()


async def test_others_in_the_process_may_ask_and_watch() -> None:
    async with Site(ServeConfig()) as site:
        with pytest.raises(PromptError, match="camera"):
            await site.server.ask("What is this?")
        seen: list[str] = []
        stop = site.server.watch(lambda name, kind, data: seen.append(kind))
        wearer = PeerClient()
        await wearer.connect(site)
        await wearer.until("regions", 2)
        end = await site.server.ask("What is this?")
        assert end["text"] == SAID
        assert "end" in seen and "regions" in seen
        stop()
        await wearer.close()


async def test_recordings_are_made_when_asked_for_and_can_be_played(tmp_path: Path) -> None:
    async with Site(ServeConfig(record=RecordPolicy(tmp_path))) as site:
        wearer = PeerClient()
        await wearer.connect(site)
        assert (await wearer.until("hello"))["recording"]
        await wearer.until("regions", 2)
        assert list(tmp_path.iterdir()) == []
        wearer.say("record", on=True)
        started = await wearer.until("recording")
        wearer.say("ask", text="What is this?")
        await wearer.until("end")
        wearer.say("record", on=False)
        stopped = await wearer.until("recording", 2)
        assert started["on"] and stopped == {**stopped, "on": False, "id": started["id"]}
        (row,) = await (await site.http.get("/recordings")).json()
        assert row["id"] == started["id"] and row["questions"] == 1 and row["frames"] > 0
        view = await site.http.get(f"/recordings/{row['id']}/view.mp4")
        assert (view.status, view.content_type) == (200, "video/mp4")
        events = await (await site.http.get(f"/recordings/{row['id']}/messages.jsonl")).text()
        assert "end" in {json.loads(line)["type"] for line in events.splitlines()}
        assert (await site.http.get(f"/recordings/{row['id']}/clip.mkv")).status == 404
        assert (await site.http.get("/recordings/..%2f..%2fetc/view.mp4")).status == 404
        assert (await site.http.delete(f"/recordings/{row['id']}")).status == 204
        assert (await site.http.delete(f"/recordings/{row['id']}")).status == 404
        await wearer.close()


async def test_at_shutdown_clients_hear_why_and_everything_ends() -> None:
    before = asyncio.all_tasks()
    async with Site(ServeConfig()) as site:
        wearer, screen = PeerClient(), await site.socket()
        await wearer.connect(site)
        await wearer.until("regions")
    assert (await wearer.until("bye"))["reason"] == "the server is shutting down"
    assert (await screen.until("bye"))["reason"] == "the server is shutting down"
    await wearer.close()
    await asyncio.sleep(0.1)
    left = [task for task in asyncio.all_tasks() - before if "LiveS" in repr(task)]
    assert left == []


async def test_pages_are_served_with_a_strict_policy() -> None:
    async with Site(ServeConfig()) as site:
        page = await site.http.get("/")
        assert page.status == 200 and page.content_type == "text/html"
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert (await site.http.get("/../serve.py")).status == 404
        assert (await site.http.get("/secret.txt")).status == 404


async def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with Site(granted(topsecret="publish view ask")) as site:
        wearer = PeerClient()
        await wearer.connect(site, Authorization="Bearer topsecret")
        name: Any = (await wearer.until("hello"))["conversation"]
        screen = await site.socket(f"?conversation={name}", ("foveal.v1", "bearer.topsecret"))
        await screen.until("hello")
        await screen.close()
        await wearer.close()
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("foveal", "devices"))]
    assert not [line for line in ours if "topsecret" in line or name in line]
