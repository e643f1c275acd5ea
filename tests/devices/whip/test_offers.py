"""Offers in the forms that clients document: each is answered, in the terms it was made in."""

from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from devices.http.problems import Problem
from devices.video.policy import ReceiveOptions
from devices.webrtc.tracks import SpeechTrack, ViewTrack
from devices.whip.bundle import attribute, split_sections
from devices.whip.sdp import Role, check_offer
from devices.whip.session import PeerSession
from stream.clock import MonotonicClock

OFFERS = {file.stem: file.read_text() for file in (Path(__file__).parent / "offers").glob("*.sdp")}
OBS = OFFERS["obs"]
FMTP = "profile-level-id=640c1f;packetization-mode=1;level-asymmetry-allowed=1"


async def answer(text: str, role: Role = Role.PUBLISH) -> str:
    """What a session answers, without a network."""
    session = PeerSession(MonotonicClock(), ReceiveOptions(), ())
    try:
        return await session.answer(check_offer(text, role))
    finally:
        await session.close()


def refusal(text: str, role: Role = Role.PUBLISH) -> str:
    with pytest.raises(Problem) as caught:
        check_offer(text, role)
    assert caught.value.status == 422
    return caught.value.detail


@pytest.mark.parametrize("name", sorted(OFFERS))
async def test_every_client_is_answered(name: str) -> None:
    offer, told = OFFERS[name], await answer(OFFERS[name])
    kinds = [one[0].split()[0] for one in split_sections(offer)[1]]
    head, sections = split_sections(told)
    assert [one[0].split()[0] for one in sections] == kinds
    for section in sections:
        assert "a=recvonly" in section and "a=rtcp-mux" in section
        assert "a=setup:passive" in section, "the sender begins, as in the example of RFC 9725"
        assert attribute(section, "candidate") and not attribute(section, "rtcp-mux-only")
        assert section[0].split()[1] != "0", "accepted"
    assert "a=ice-options:trickle" in head
    grouped = "a=group:BUNDLE" in offer
    assert any(line.startswith("a=group:BUNDLE") for line in head) is grouped


@pytest.mark.parametrize("name", sorted(OFFERS))
def test_sections_of_a_bundle_have_the_transport_of_the_tagged_one(name: str) -> None:
    checked = check_offer(OFFERS[name])
    sections = SessionDescription.parse(checked.text).media
    assert {section.ice.usernameFragment for section in sections} == {checked.ufrag}
    assert len({section.ice.password for section in sections}) == 1
    assert {section.dtls.role for section in sections} == {"client"}
    assert len({str(section.ice_candidates) for section in sections}) == 1
    assert checked.media_line.split()[1] != "0"


def test_the_tagged_section_need_not_be_the_first() -> None:
    swapped = OFFERS["rfc9725"].replace("BUNDLE 0 1", "BUNDLE 1 0")
    swapped = swapped.replace("m=video 0", "m=video 9").replace("a=bundle-only\n", "")
    lines = ("ice-ufrag:Gk3q", "ice-pwd:asd88fgpdd777uzjYhagZgMu", "setup:actpass", "rtcp-mux")
    fingerprint = attribute(OFFERS["rfc9725"].splitlines(), "fingerprint")
    for line in (*(f"a={one}" for one in lines), *fingerprint):
        swapped = swapped.replace(f"{line}\n", "", 1)
    swapped = (
        swapped.replace("a=rtcp-mux-only\n", "")
        .replace("m=audio 9 ", "m=audio 0 ")
        .replace("a=mid:0\n", "a=mid:0\na=bundle-only\n")
    )
    swapped += "".join(f"a={one}\n" for one in lines) + f"{fingerprint[0]}\n"
    checked = check_offer(swapped)
    assert (checked.ufrag, checked.mid, checked.media_line[:8]) == ("Gk3q", "1", "m=video ")
    assert "m=audio 9 " in checked.text


async def test_a_sender_that_waits_for_the_handshake_is_begun_with() -> None:
    told = await answer(OFFERS["larix"].replace("a=setup:actpass", "a=setup:passive"))
    assert "a=setup:active" in told


def test_a_section_that_is_switched_off_stays_so() -> None:
    assert "port 0" in refusal(OFFERS["rfc9725"].replace("a=bundle-only\n", ""))


@pytest.mark.parametrize(
    ("role", "expected"), [(Role.PUBLISH, "recvonly"), (Role.PLAY, "sendonly")]
)
async def test_both_directions_are_answered_in_one(role: Role, expected: str) -> None:
    offer = OFFERS["firefox"].replace("a=sendonly\n", "")  # leaves sendrecv, before all sections
    session = PeerSession(MonotonicClock(), ReceiveOptions(), ())
    tracks = [SpeechTrack(MonotonicClock()), ViewTrack()] if role is Role.PLAY else []
    told = await session.answer(check_offer(offer, role), tracks)
    await session.close()
    assert told.count(f"a={expected}") == 2
    assert (session.video is None) is (role is Role.PLAY)


@pytest.mark.parametrize(
    "parameters",
    [
        *(f"profile-level-id={one};packetization-mode=1" for one in ("640c1f", "64001f", "4d001f")),
        *(f"profile-level-id={one};packetization-mode=1" for one in ("42c01f", "420029", "42e034")),
        *(f"profile-level-id={one};packetization-mode=1" for one in ("6e0028", "7A0028", "f4003c")),
        "profile-level-id=42e01f;packetization-mode=0",
        "profile-level-id=64001f",
        "",
    ],
)
async def test_h264_is_accepted_as_it_was_offered(parameters: str) -> None:
    """RFC 6184 section 8.2.2: profile and packetization mode are the same both ways."""
    told = await answer(OBS.replace(FMTP, parameters))
    video = split_sections(told)[1][1]
    wanted = sorted(one for one in parameters.split(";") if one)
    echoed = [line.partition(" ")[2] for line in attribute(video, "fmtp")]
    assert [sorted(one.split(";")) for one in echoed] == ([wanted] if wanted else [])
    assert "a=rtpmap:96 H264/90000" in video


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("profile-level-id=58801f;packetization-mode=1", "H.264 profile 58801f"),
        ("profile-level-id=64001f;packetization-mode=2", "H.264 High, packetization-mode 2"),
    ],
)
def test_h264_that_cannot_be_received_is_told_with_the_way_out(parameters: str, words: str) -> None:
    told = refusal(OBS.replace(FMTP, parameters))
    assert words in told and "Constrained Baseline, packetization-mode 1" in told


def test_other_codecs_are_told_with_the_way_out() -> None:
    other = OBS.replace("H264/90000", "H265/90000").replace(f"a=fmtp:96 {FMTP}\n", "")
    assert refusal(other) == "m=video: the sender offers H265; set it to VP8 or H264"
    mute = OBS.replace("opus/48000/2", "MP4A-LATM/48000/2")
    assert "MP4A-LATM; set it to opus or G722 or PCMU or PCMA" in refusal(mute)


@given(st.sampled_from(sorted(OFFERS)), st.data())
def test_damaged_offers_are_refused_not_crashed_on(name: str, data: st.DataObject) -> None:
    lines = OFFERS[name].splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        cut = data.draw(st.integers(0, len(lines[at])))
        lines[at] = lines[at][:cut] + data.draw(st.sampled_from(["", " ", ":", "a=mid:0", "m="]))
    for role in Role:
        try:
            check_offer("\n".join(lines), role)
        except Problem as problem:
            assert problem.status in (400, 422)


def test_a_player_gets_what_our_encoder_makes() -> None:
    player = OBS.replace("sendonly", "recvonly")
    assert "H.264 High, packetization-mode 1" in refusal(player, Role.PLAY)
    baseline = player.replace("640c1f", "42e01f")
    assert check_offer(baseline, Role.PLAY).h264 == {}
