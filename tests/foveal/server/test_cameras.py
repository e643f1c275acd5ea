"""Cameras that the box reads itself, photos, the annotated view, ICE servers."""

import asyncio
import io
import time
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from PIL import Image

from devices.http.admission import Grant, hash_token
from foveal.live.room import RoomLimits
from foveal.server.app import ServeConfig
from foveal.server.launch import ice_server, session_link
from stream.errors import ConfigError
from tests.doubles.devices import ToneSpeaker
from tests.foveal.live.live_rig import SAID, fake_engine, until
from tests.foveal.server.serve_rig import PeerClient, Site


def photo(shade: int, size: tuple[int, int] = (320, 240)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 60, 60)).save(out, "JPEG")
    return out.getvalue()


async def play(site: Site, conversation: str) -> tuple[RTCPeerConnection, dict[str, Any], str]:
    """A WHEP player: its connection, its tracks by kind, its place."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: dict[str, Any] = {}
    peer.on("track", lambda track: tracks.__setitem__(track.kind, track))
    for kind in ("audio", "video"):
        peer.addTransceiver(kind, direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    answer = await site.http.post(
        f"/whep?conversation={conversation}",
        data=peer.localDescription.sdp,
        headers={"Content-Type": "application/sdp"},
    )
    assert answer.status == 201
    await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
    return peer, tracks, answer.headers["Location"]


async def picture(track: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    async with asyncio.timeout(10):
        return np.asarray((await track.recv()).to_ndarray(format="rgb24"))


async def test_photos_are_asked_about_in_a_session_of_their_own() -> None:
    limits = RoomLimits(max_sessions=1, resume_s=0.0, idle_s=0.001, max_session_s=0.001)
    async with Site(ServeConfig(limits=limits, photos=True)) as site:
        (spot,) = site.server.spots
        assert spot.name == "photos" and not spot.room.live.camera
        assert (await site.http.get("/ready")).status == 200  # it takes nobody's place
        screen = await site.socket(f"?conversation={spot.room.id}")
        assert not (await screen.until("hello"))["camera"]
        taken = await site.http.post("/photo", data=photo(200))
        assert taken.status == 202
        assert (await screen.until("camera"))["on"]
        assert (await screen.until("regions"))["size"] == [240, 320]
        await screen.say("ask", text="What is this?")
        assert (await screen.until("end"))["text"] == SAID  # though no other photo came
        await site.http.post("/photo", data=photo(90, (3000, 2000)))
        await until(lambda: screen.of("regions")[-1]["size"] == [1000, 1500])  # at half its sides
        await site.server.rooms.sweep()
        assert site.server.rooms.find(spot.room.id) is spot.room  # no limit ends it
        await screen.close()
    assert spot.room.closed.is_set()


async def test_photos_need_a_token_and_can_be_off() -> None:
    grants = [Grant(hash_token("glasses"), frozenset({"publish"}))]
    async with Site(ServeConfig(lambda: grants, photos=True)) as site:
        assert (await site.http.post("/photo", data=photo(9))).status == 401
        head = {"Authorization": "Bearer glasses"}
        assert (await site.http.post("/photo", data=photo(9), headers=head)).status == 202
        assert (await site.http.post("/photo", data=b"no", headers=head)).status == 415
    async with Site(ServeConfig()) as site:
        assert (await site.http.post("/photo", data=photo(9))).status == 404


class WebCam:
    """A camera that sends JPEG after JPEG over HTTP while it is `on`."""

    def __init__(self) -> None:
        self.on = True

    async def __aenter__(self) -> "WebCam":
        app = web.Application()
        app.router.add_get("/video", self._send)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.where = f"127.0.0.1:{self._runner.addresses[0][1]}/video"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.on = False
        await self._runner.cleanup()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        kind = "multipart/x-mixed-replace;boundary=frame"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        shade = 0
        while self.on:
            shade = (shade + 5) % 200
            body = photo(shade)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            await response.write(head.encode() + body + b"\r\n")
            await asyncio.sleep(0.1)
        return response


async def test_a_camera_that_the_box_reads_comes_goes_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("foveal.server.cameras.GONE_S", 0.5)
    async with WebCam() as camera:
        config = ServeConfig(cameras=(f"http://me:secret@{camera.where}",))
        async with Site(config) as site:
            (spot,) = site.server.spots
            assert spot.name == f"http://{camera.where}"
            screen = await site.socket(f"?conversation={spot.room.id}")
            await until(lambda: spot.room.live.camera, 30)
            await screen.say("ask", text="What is this?")
            assert (await screen.until("end"))["text"] == SAID
            camera.on = False
            await until(lambda: not spot.room.live.camera, 30)
            await until(lambda: not screen.of("camera")[-1]["on"])
            assert (
                screen.of("camera")[-1]["reason"]
                == "no picture has come for 0.5 s; it is looked for"
            )
            camera.on = True
            await until(lambda: spot.room.live.camera, 30)
            seen = len(screen.of("regions"))
            await until(lambda: len(screen.of("regions")) > seen + 2, 30)
            wearer = PeerClient()  # another camera takes its place
            await wearer.connect(site, f"?conversation={spot.room.id}")
            await until(lambda: wearer.of("regions"), 30)
            await wearer.close()
            await screen.close()


async def test_a_player_sees_the_annotated_view_and_hears_the_answer() -> None:
    slow = fake_engine(ToneSpeaker(samples_per_char=4000))  # the answer takes seven seconds
    async with Site(ServeConfig(), slow) as site:
        wearer = PeerClient()
        await wearer.connect(site)
        name = (await wearer.until("hello"))["conversation"]
        await wearer.until("regions", 2)
        (room,) = site.server.rooms.all
        player, tracks, place = await play(site, name)
        first = await picture(tracks["video"])
        assert first.shape == (240, 320, 3)
        wearer.say("ask", text="What is this?")
        await wearer.until("end")
        dark = 0.0
        async with asyncio.timeout(10):
            while dark < 0.3:  # the strip of the subtitle
                dark = float((await picture(tracks["video"]))[-40:].max(axis=2).__lt__(80).mean())
        assert room.live.view.watched
        assert (await site.http.delete(place)).status == 200
        await until(lambda: not room.live.view.watched)  # nothing is drawn any more
        await player.close()
        await wearer.close()


async def test_the_first_camera_comes_back_when_the_second_has_gone() -> None:
    async with Site(ServeConfig()) as site:
        first, second = PeerClient(), PeerClient()
        await first.connect(site)
        name = (await first.until("hello"))["conversation"]
        await first.until("regions")
        await second.connect(site, f"?conversation={name}")
        await second.until("hello")
        second.say("ask", text="What is this?")
        assert (await second.until("end"))["text"] == SAID
        await second.close()
        await until(lambda: [one["on"] for one in first.of("camera")][-2:] == [False, True], 20)
        seen = len(first.of("regions"))
        await until(lambda: len(first.of("regions")) > seen + 2)
        await first.close()


async def test_clients_are_told_the_ice_servers() -> None:
    servers = (
        ice_server("stun:box.local:3478", None),
        ice_server("turn:me@box.local?transport=tcp", 'a "b"'),
    )
    async with Site(ServeConfig(ice_servers=servers)) as site:
        links = (await site.http.options("/session")).headers.getall("Link")
    assert links == [
        '<stun:box.local:3478>; rel="ice-server"',
        '<turn:box.local?transport=tcp>; rel="ice-server"; username="me"; '
        'credential="a \\"b\\""; credential-type="password"',
    ]


@pytest.mark.parametrize("url", ["box.local", "http://box", "turn:box.local", "stun:"])
def test_an_ice_server_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        ice_server(url, "secret")


def test_a_turn_server_needs_its_password() -> None:
    with pytest.raises(ConfigError, match="FOVEAL_TURN_PASSWORD"):
        ice_server("turn:me@box.local", None)


async def test_each_client_is_told_a_password_of_its_own_time() -> None:
    """Of a TURN server that shares a secret; the name is when it ends."""
    made = ice_server("turn:glasses@box.local", None, "shared")
    async with Site(ServeConfig(ice_servers=(made,))) as site:
        (link,) = (await site.http.options("/session")).headers.getall("Link")
    end, _, name = link.partition('username="')[2].partition('"')[0].partition(":")
    assert name == "glasses" and 86_000 < int(end) - time.time() <= 86_400
    assert "shared" not in link and 'credential="' in link


def test_a_link_keeps_the_token_behind_the_hash() -> None:
    assert session_link("http://a:1/", "c") == "http://a:1/#conversation=c"
    assert session_link("http://a:1/#token=t", "c") == "http://a:1/#token=t&conversation=c"


async def test_a_url_that_is_no_camera_is_refused() -> None:
    with pytest.raises(ConfigError, match="rtsp"):
        async with Site(ServeConfig(cameras=("file:///etc/passwd",))):
            raise AssertionError("it was taken")
