"""Offers and trickle fragments: what is let in, what is refused and with which status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.http.problems import Problem
from devices.whip.sdp import check_offer, parse_fragment

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
CANDIDATE = "1 1 udp 2130706431 192.0.2.1 40000 typ host"


def section(kind: str = "video", number: str = "0", **changes: str | None) -> str:
    lines: dict[str, str | None] = {
        "m": f"m={kind} 9 UDP/TLS/RTP/SAVPF 96",
        "c": "c=IN IP4 0.0.0.0",
        "direction": "a=sendonly",
        "mid": f"a=mid:{number}",
        "msid": "a=msid:camera track",
        "mux": "a=rtcp-mux",
        "rtpmap": "a=rtpmap:96 " + ("VP8/90000" if kind == "video" else "opus/48000/2"),
        "ufrag": "a=ice-ufrag:abcd",
        "pwd": "a=ice-pwd:abcdefghijklmnopqrstuv",
        "fingerprint": f"a=fingerprint:{FINGERPRINT}",
        "setup": "a=setup:actpass",
    }
    lines.update(changes)
    return "".join(f"{line}\r\n" for line in lines.values() if line)


def offer(*sections: str, bundle: str = "0") -> str:
    head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    return head + f"a=group:BUNDLE {bundle}\r\n" + "".join(sections)


GOOD = offer(section())


def refused(text: str) -> int:
    with pytest.raises(Problem) as caught:
        check_offer(text)
    return caught.value.status


def test_a_camera_with_microphone_is_let_in() -> None:
    checked = check_offer(offer(section(), section("audio", "1"), bundle="0 1"))
    assert (checked.video, checked.audio, checked.ufrag, checked.mid) == (True, True, "abcd", "0")
    assert check_offer(offer(section(direction="a=sendrecv"))).audio is False
    assert check_offer(offer(section(direction=None))).video is True  # RFC 8866: sendrecv
    assert check_offer(GOOD.replace("a=group:BUNDLE 0\r\n", "")).mid == "0"


def test_candidates_that_cannot_be_used_do_not_spoil_an_offer() -> None:
    lines = [
        f"a=candidate:{CANDIDATE}",
        "a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "a=candidate:3 1 udp 2130706431 camera.example.com 40000 typ host",
    ]
    checked = check_offer(GOOD + "".join(f"{line}\r\n" for line in lines))
    assert [line in checked.text for line in lines] == [True, False, False]
    assert refused(GOOD + f"{lines[0]}\r\n" * 65) == 422


@pytest.mark.parametrize("text", ["", "{}", "v=1", GOOD.replace("m=video 9", "m=video x")])
def test_what_is_no_sdp_is_a_bad_request(text: str) -> None:
    assert refused(text) == 400


@pytest.mark.parametrize(
    "text",
    [
        offer(bundle=""),
        offer(section(), bundle="1"),
        offer(section(), section("video", "1"), bundle="0 1"),
        offer(section(), section("audio", "1", msid="a=msid:other track"), bundle="0 1"),
        offer(section("application")),
        *(
            offer(section("video", "0", **{name: None}))
            for name in ("mid", "mux", "ufrag", "pwd", "fingerprint", "setup")
        ),
        offer(section(direction="a=recvonly")),
        offer(section(fingerprint="a=fingerprint:md5 AA:BB")),
        GOOD.replace("m=video 9", "m=video 0"),
    ],
)
def test_sdp_that_is_no_whip_offer_cannot_be_processed(text: str) -> None:
    assert refused(text) == 422


@given(st.data())
def test_damaged_offers_are_refused_not_crashed_on(data: st.DataObject) -> None:
    lines = GOOD.split("\r\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    cut = data.draw(st.integers(0, len(lines[at])))
    junk = data.draw(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20))
    lines[at] = lines[at][:cut] + junk
    try:
        check_offer("\r\n".join(lines))
    except Problem as problem:
        assert problem.status in (400, 422)


@given(st.text(max_size=200))
def test_any_text_is_judged(text: str) -> None:
    with pytest.raises(Problem):
        check_offer(text)
    try:
        parse_fragment(text)
    except Problem as problem:
        assert problem.status == 400


def test_a_fragment_gives_its_usable_candidates() -> None:
    fragment = parse_fragment(
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        f"a=candidate:{CANDIDATE}\r\n"
        "a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
        "a=candidate:3 1 udp 2130706431 no-such-host 40000 typ host\r\n"
        "a=candidate:4 1 udp 2130706431 0f5a.local 40000 typ host\r\n"
        "a=end-of-candidates\r\n"
    )
    assert [c.ip for c in fragment.candidates] == ["192.0.2.1", "0f5a.local"]
    assert (fragment.ufrag, fragment.complete) == ("abcd", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate",
        "a=candidate:1 1 udp",
        "a=candidate:1 x udp 1 192.0.2.1 1 typ host",
        "a=ice-ufrag:a b",
        "a=ice-pwd:short",
        f"a=candidate:{CANDIDATE}\r\n" * 65,
    ],
)
def test_a_malformed_fragment_is_a_bad_request(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_fragment(text)
    assert caught.value.status == 400
