"""The WHIP endpoint over real HTTP, real ICE and DTLS: aiortc publishes to it."""

import asyncio
from typing import Any

import pytest
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)

from devices.whip.bundle import TRANSPORT, join_sections, split_sections
from devices.whip.endpoint import SDP, ice_links
from devices.whip.session import PeerSession
from tests.devices.whip.whip_rig import AUTH, TOKEN, Start, camera_offer, connect, start, until
from tests.doubles.webrtc import NumberCamera

__all__ = ["camera_offer", "start"]  # fixtures


async def test_a_camera_publishes_and_hangs_up(start: Start, camera_offer: tuple[Any, str]) -> None:
    connection, offer = camera_offer
    endpoint = await start()
    response = await endpoint.post(offer)
    assert response.status == 201
    assert response.content_type == SDP
    assert response.headers["ETag"].startswith('"')
    location = response.headers["Location"]
    assert location.startswith("/whip/") and len(location) >= 38
    answer = await response.text()
    assert "a=recvonly" in answer and "a=candidate" in answer and "a=end-of-candidates" in answer
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: len(endpoint.numbers) >= 20)
    assert endpoint.numbers == list(range(len(endpoint.numbers)))
    gone = await endpoint.http.delete(endpoint.url + location, headers=AUTH)
    assert gone.status == 200
    await asyncio.wait_for(endpoint.ended.wait(), 3)
    again = await endpoint.http.delete(endpoint.url + location, headers=AUTH)
    assert again.status == 404


async def test_a_microphone_comes_with_the_camera(start: Start) -> None:
    heard: list[Any] = []

    async def listen(session: PeerSession) -> None:
        while len(heard) < 3:
            heard.append(await session.audio.recv())

    endpoint = await start(listen)
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(NumberCamera(fps=30), direction="sendonly")
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    response = await endpoint.post(connection.localDescription.sdp)
    assert response.status == 201
    answer = RTCSessionDescription(await response.text(), "answer")
    await connection.setRemoteDescription(answer)
    await until(lambda: len(heard) == 3)
    assert heard[0].sample_rate == 48_000
    await connection.close()


async def test_an_offer_that_describes_its_transport_once_connects(start: Start) -> None:
    """The form of RFC 9725's example: candidates and keys in the first section only."""
    heard: list[Any] = []

    async def watch(session: PeerSession) -> None:
        assert session.video is not None
        heard.append(await session.audio.recv())
        async for frame in session.video.frames():
            heard.append(frame)

    endpoint = await start(watch)
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    connection.addTransceiver(NumberCamera(fps=30), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    head, (audio, video) = split_sections(connection.localDescription.sdp)
    video = [line for line in video if not line.startswith(tuple(f"a={one}" for one in TRANSPORT))]
    port = video[0].split()[1]
    video = [video[0].replace(f" {port} ", " 0 "), *video[1:], "a=bundle-only"]
    response = await endpoint.post(join_sections(head, [audio, video]))
    assert response.status == 201
    answer = RTCSessionDescription(await response.text(), "answer")
    await connection.setRemoteDescription(answer)
    await until(lambda: len(heard) > 5)
    await connection.close()


async def test_candidates_may_trickle_in(start: Start, camera_offer: tuple[Any, str]) -> None:
    connection, offer = camera_offer
    lines = offer.split("\r\n")
    late = [line for line in lines if line.startswith(("a=candidate", "a=end-of-candidates"))]
    endpoint = await start()
    response = await endpoint.post("\r\n".join(line for line in lines if line not in late))
    assert response.status == 201
    location, etag = response.headers["Location"], response.headers["ETag"]
    answer = RTCSessionDescription(await response.text(), "answer")
    await connection.setRemoteDescription(answer)
    fragment = "\r\n".join(["m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", *late])
    assert await endpoint.patch(location, fragment, **{"If-Match": etag}) == 204
    await until(lambda: len(endpoint.numbers) >= 3)


async def test_a_patch_is_checked_and_leaves_the_session_alone(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start()
    response = await endpoint.post(camera_offer[1])
    location, etag = response.headers["Location"], response.headers["ETag"]
    good = "a=end-of-candidates"
    restart = "a=ice-ufrag:zzzz\r\na=ice-pwd:abcdefghijklmnopqrstuv"
    assert await endpoint.patch(location, good) == 428
    assert await endpoint.patch(location, good, **{"If-Match": '"other"'}) == 412
    match = {"If-Match": etag}
    assert await endpoint.patch(location, "nonsense", **match) == 400
    assert await endpoint.patch(location, good, **{**match, "Content-Type": SDP}) == 415
    assert await endpoint.patch(location, restart, **{"If-Match": "*"}) == 422  # not connected yet
    assert await endpoint.patch("/whip/" + "x" * 32, good, **match) == 404
    assert await endpoint.patch(location, good, **{**match, "Authorization": "Bearer x"}) == 401
    assert await endpoint.patch(location, good, **match) == 204
    for tag in ("*", '"*"', f'"other", {etag}'):  # RFC 9110 section 13.1.1: a list may come
        assert await endpoint.patch(location, good, **{"If-Match": tag}) == 204
    assert not endpoint.sessions[0].closed.is_set()


async def test_nobody_gets_in_without_a_token(start: Start) -> None:
    endpoint = await start()
    missing = await endpoint.http.post(f"{endpoint.url}/whip", data="v=0")
    assert missing.status == 401
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="foveal"'
    wrong = await endpoint.post("v=0", Authorization="Bearer wrong")
    assert wrong.status == 401
    assert "invalid_token" in wrong.headers["WWW-Authenticate"]
    for method in ("patch", "delete"):
        response = await endpoint.http.request(method, f"{endpoint.url}/whip/some-id")
        assert response.status == 401


async def test_a_device_that_can_set_no_header_has_its_token_in_the_url(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    sent = {"Content-Type": SDP}
    strict, lax = await start(), await start(token_in_url=True)
    for endpoint, token, status in ((strict, TOKEN, 401), (lax, "wrong", 401), (lax, TOKEN, 201)):
        url = f"{endpoint.url}/whip?token={token}&conversation=walk"
        response = await lax.http.post(url, data=camera_offer[1], headers=sent)
        assert response.status == status
    header = await lax.http.post(url, data="", headers={**sent, "Authorization": "Bearer wrong"})
    assert header.status == 401  # a header counts
    location = response.headers["Location"]
    (session,) = lax.sessions
    assert session.query == {"conversation": "walk"}  # without the token
    bare = await lax.http.delete(lax.url + location.partition("?")[0])
    assert bare.status == 401
    assert (await lax.http.delete(lax.url + location)).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("v=0", {"Content-Type": "text/plain"}, 415),
        ("hello", {}, 400),
        (b"v=0\xff", {}, 400),
        ("v=0\r\n" + "a=x\r\n" * 20_000, {}, 413),
        ("v=0\r\ns=-\r\n", {}, 422),
    ],
)
async def test_bad_offers_get_the_right_status(
    start: Start, body: str | bytes, headers: dict[str, str], status: int
) -> None:
    endpoint = await start()
    response = await endpoint.post(body, **headers)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert (await response.json())["status"] == status


async def test_an_offer_without_a_known_codec_cannot_be_processed(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start(max_sessions=1)
    unknown = camera_offer[1].replace("VP8", "AV1").replace("H264", "AV1")
    assert (await endpoint.post(unknown)).status == 422
    assert (await endpoint.post(camera_offer[1])).status == 201  # and it holds no slot


async def test_a_full_server_says_when_to_come_back(
    start: Start, camera_offer: tuple[Any, str]
) -> None:
    endpoint = await start(max_sessions=1)
    first = await endpoint.post(camera_offer[1])
    assert first.status == 201
    second = await endpoint.post(camera_offer[1])
    assert (second.status, second.headers["Retry-After"]) == (503, "5")
    await endpoint.http.delete(endpoint.url + first.headers["Location"], headers=AUTH)
    await until(lambda: endpoint.ended.is_set())
    await asyncio.sleep(0.05)
    assert (await endpoint.post(camera_offer[1])).status == 201


async def test_a_peer_that_never_connects_loses_its_slot(
    start: Start, camera_offer: tuple[Any, str], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = await start(connect_timeout_s=0.2)
    response = await endpoint.post(camera_offer[1])
    await asyncio.wait_for(endpoint.ended.wait(), 3)
    assert (endpoint.sessions[0].reason or "").startswith("no connection in 0.2 s (ICE ")
    await until(lambda: "has ended: no connection in 0.2 s" in caplog.text)
    await asyncio.sleep(0.05)
    location = endpoint.url + response.headers["Location"]
    assert (await endpoint.http.delete(location, headers=AUTH)).status == 404


async def test_a_peer_that_dies_without_a_word_is_noticed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its consent to receive expires (RFC 7675): after 30 s, here sooner."""
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr("aioice.ice.CONSENT_FAILURES", 2)
    endpoint = await start()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(NumberCamera(fps=30), direction="sendonly")
    await connect(endpoint, connection)
    await until(lambda: len(endpoint.numbers) > 3)
    ice = connection.getTransceivers()[0].sender.transport.transport
    for protocol in ice._connection._protocols:
        protocol.transport.abort()  # its sockets are gone, as when the process is killed
    await asyncio.wait_for(endpoint.ended.wait(), 6)
    reason = endpoint.sessions[0].reason or ""
    assert "was heard no more" in reason or "the connection was lost (ICE " in reason
    await connection.close()


async def test_a_failing_handler_ends_its_session_only(
    start: Start, camera_offer: tuple[Any, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(session: PeerSession) -> None:
        raise RuntimeError("the model is gone")

    endpoint = await start(fail)
    response = await endpoint.post(camera_offer[1])
    location = endpoint.url + response.headers["Location"]
    await asyncio.sleep(0.2)
    assert (await endpoint.http.delete(location, headers=AUTH)).status == 404
    assert "the model is gone" in caplog.text
    assert (await endpoint.post(camera_offer[1])).status == 201


async def test_a_handler_that_does_not_end_is_ended(
    start: Start, camera_offer: tuple[Any, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(session: PeerSession) -> None:
        await asyncio.Event().wait()

    endpoint = await start(hang, handler_grace_s=0.05, max_sessions=1)
    response = await endpoint.post(camera_offer[1])
    await endpoint.http.delete(endpoint.url + response.headers["Location"], headers=AUTH)
    await until(lambda: "did not end" in caplog.text)
    assert (await endpoint.post(camera_offer[1])).status == 201


async def test_other_methods_are_reserved(start: Start) -> None:
    endpoint = await start()
    allow = {"/whip": "OPTIONS, GET, HEAD, POST", "/whip/x": "OPTIONS, GET, HEAD, PATCH, DELETE"}
    for path, methods in allow.items():
        for method in ("PUT", "POST" if path != "/whip" else "PATCH"):
            response = await endpoint.http.request(method, endpoint.url + path, headers=AUTH)
            assert (response.status, response.headers["Allow"]) == (405, methods)


async def test_nothing_is_there_to_be_read(start: Start, camera_offer: tuple[Any, str]) -> None:
    """RFC 9725 section 4.1: GET is answered with a 2xx status and no content."""
    endpoint = await start()
    location = (await endpoint.post(camera_offer[1])).headers["Location"]
    cases = [("/whip", AUTH, 204), ("/whip", {}, 204), (location, AUTH, 204)]
    cases += [(location, {}, 401), ("/whip/x", AUTH, 404)]
    for method in ("GET", "HEAD"):
        for path, headers, status in cases:
            response = await endpoint.http.request(method, endpoint.url + path, headers=headers)
            assert response.status == status
            assert status != 204 or await response.read() == b""


async def test_options_tell_browsers_and_clients_what_they_need(start: Start) -> None:
    turn = RTCIceServer("turn:turn.example.net?transport=udp", "me", 'a"b')
    origin = {"Origin": "https://glasses.example"}
    endpoint = await start(ice_servers=(turn,), allowed_origins=("https://glasses.example",))
    url = f"{endpoint.url}/whip"
    plain = await endpoint.http.options(url, headers={**AUTH, **origin})
    assert (plain.status, plain.headers["Accept-Post"]) == (200, SDP)
    assert plain.headers["Link"] == ice_links(turn)[0]
    assert 'credential="a\\"b"' in plain.headers["Link"]
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    answer = await endpoint.http.options(url, headers=preflight)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://glasses.example"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    assert "Link" not in answer.headers  # no credentials without a token
    other = await endpoint.http.options(url, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
    refused = await endpoint.http.post(url, data="", headers=origin)
    assert refused.status == 401  # readable to the page that asked
    assert refused.headers["Access-Control-Allow-Origin"] == "https://glasses.example"


async def test_too_many_requests_are_told_to_wait(start: Start) -> None:
    endpoint = await start(burst=3, requests_per_s=0.5)
    statuses = [(await endpoint.post("v=0")).status for _ in range(4)]
    assert statuses == [422, 422, 422, 429]
    assert (await endpoint.post("v=0")).headers["Retry-After"] in ("1", "2")
