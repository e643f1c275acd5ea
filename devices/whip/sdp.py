"""Checks of what a client sends: the offer (RFC 9725, WHEP draft) and fragments (RFC 8840)."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiortc import RTCIceCandidate
from aiortc.sdp import SessionDescription, candidate_from_sdp

from devices.http.problems import Problem
from devices.whip.bundle import complete_sections, split_sections
from devices.whip.codecs import Offered, Parameters, adapt_h264, check_codecs

MEDIA_KINDS = ("audio", "video")
FINGERPRINTS = ("sha-256", "sha-384", "sha-512")  # what aiortc can verify
SDP_LINE = re.compile(r"[a-z]=.*")
ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839 section 5.4
ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
MAX_CANDIDATES = 64
MAX_PORT = 65_535


class Role(Enum):
    """Which way media goes, seen from the client."""

    PUBLISH = "publish"  # WHIP: the client sends
    PLAY = "play"  # WHEP: the client receives
    DUPLEX = "duplex"  # a browser or phone: both, and a data channel if it likes


DIRECTIONS = {
    Role.PUBLISH: ("sendonly", "sendrecv"),
    Role.PLAY: ("recvonly", "sendrecv"),
    Role.DUPLEX: ("sendonly", "recvonly", "sendrecv"),
}
BOTH = {  # what `sendrecv` comes to: RFC 9725 answers recvonly, WHEP sendonly
    Role.PUBLISH: "sendonly",
    Role.PLAY: "recvonly",
    Role.DUPLEX: "sendrecv",
}


@dataclass(frozen=True, slots=True)
class SdpOffer:
    """A checked offer, with whole sections and the codecs that aiortc knows."""

    text: str
    ufrag: str  # of the tagged section; BUNDLE makes it everybody's
    mid: str
    media_line: str  # m= of that section, for fragments about it
    video: bool
    audio: bool
    h264: Mapping[str, Parameters] = field(default_factory=dict)  # as offered, by payload type


@dataclass(frozen=True, slots=True)
class SdpFragment:
    """A checked trickle fragment."""

    ufrag: str | None
    pwd: str | None
    candidates: tuple[RTCIceCandidate, ...]
    complete: bool


def check_offer(text: str, role: Role = Role.PUBLISH) -> SdpOffer:
    """Parse an offer; raises Problem 400 when it is no SDP, 422 when it does not suit the role.

    One bad section refuses the whole offer: RFC 9725 allows no partly successful answers.
    """
    text, h264 = complete_sections(text, BOTH[role]), Offered()
    if role is not Role.PLAY:  # what we send is what aiortc's encoder makes
        text, h264 = adapt_h264(text)
    description = _parse(text)
    sections = description.media
    if not sections:
        raise Problem(422, "expected at least one m= section, got none")
    bundle = next((group for group in description.group if group.semantic == "BUNDLE"), None)
    mids = [section.rtp.muxId for section in sections]
    bundled = bundle.items if bundle is not None else mids[:1]  # one alone needs no group
    if sorted(map(str, bundled)) != sorted(mids) or "" in mids:
        raise Problem(
            422, "expected every m= section in one BUNDLE group; set bundlePolicy to max-bundle"
        )
    for section in sections:
        _check_section(section, role)
    kinds = [section.kind for section in sections]
    if any(kinds.count(kind) > 1 for kind in MEDIA_KINDS):
        raise Problem(422, f"expected at most one audio and one video section, got {kinds}")
    check_codecs(text)
    streams = {section.msid.split()[0] for section in sections if (section.msid or "").split()}
    if len(streams - {"-"}) > 1:  # RFC 8830: "-" is no stream
        raise Problem(422, "expected one MediaStream (a=msid), got several")
    if max(len(section.ice_candidates) for section in sections) > MAX_CANDIDATES:
        raise Problem(422, f"expected at most {MAX_CANDIDATES} candidates")
    tagged = mids.index(bundled[0])
    line = split_sections(text)[1][tagged][0]
    ufrag = sections[tagged].ice.usernameFragment
    video, audio = "video" in kinds, "audio" in kinds
    return SdpOffer(_clean(text), ufrag, mids[tagged], line, video, audio, h264)


def parse_fragment(text: str) -> SdpFragment:
    """Parse a trickle fragment; raises Problem 400 when it is malformed.

    Candidates that cannot be used (TCP, host names) are left out silently, as the RFC says.
    """
    ufrag = pwd = None
    candidates: list[RTCIceCandidate] = []
    complete = False
    lines = [line for line in text.splitlines() if line]
    if not lines:
        raise Problem(400, "expected an SDP fragment, got an empty body")
    for line in lines:
        if not SDP_LINE.fullmatch(line):
            raise Problem(400, f"expected <letter>=<value>, got {line[:40]!r}")
        name, _, value = line[2:].partition(":") if line.startswith("a=") else ("", "", "")
        if name == "ice-ufrag":
            ufrag = _match(ICE_UFRAG, value)
        elif name == "ice-pwd":
            pwd = _match(ICE_PWD, value)
        elif name == "candidate":
            candidates.append(_candidate(value))
        elif name == "end-of-candidates":
            complete = True
    if len(candidates) > MAX_CANDIDATES:
        raise Problem(400, f"expected at most {MAX_CANDIDATES} candidates, got {len(candidates)}")
    return SdpFragment(ufrag, pwd, tuple(c for c in candidates if _usable(c)), complete)


def _clean(text: str) -> str:
    """Leave out candidates that cannot be used; aiortc would refuse the offer for them."""
    prefix = "a=candidate:"
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if not line.startswith(prefix) or _usable(_candidate(line.rstrip()[len(prefix) :]))
    )


def _parse(text: str) -> Any:
    if not text.startswith("v=0"):
        raise Problem(400, "expected an SDP offer that begins with v=0")
    try:
        return SessionDescription.parse(text)
    except Exception as error:  # aiortc's parser meets bad input with any built-in error
        raise Problem(400, f"malformed SDP: {type(error).__name__} {error}"[:200]) from error


def _check_section(section: Any, role: Role) -> None:
    where = f"m={section.kind}"
    if section.port == 0:
        raise Problem(422, f"{where} is disabled (port 0)")
    if section.kind in MEDIA_KINDS:
        expected = DIRECTIONS[role]
        if section.direction not in expected:
            raise Problem(422, f"{where}: expected a={expected[0]}, got {section.direction}")
        if not section.rtcp_mux:
            raise Problem(422, f"{where}: expected a=rtcp-mux")
    elif section.kind != "application" or role is not Role.DUPLEX:
        raise Problem(422, f"expected audio or video sections only, got {where}")
    if not (section.ice.usernameFragment and section.ice.password):
        raise Problem(422, f"{where}: expected a=ice-ufrag and a=ice-pwd")
    if section.dtls is None:
        raise Problem(422, f"{where}: expected a=setup")
    if not any(print_.algorithm.lower() in FINGERPRINTS for print_ in section.dtls.fingerprints):
        raise Problem(422, f"{where}: expected a=fingerprint with one of {FINGERPRINTS}")


def _match(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise Problem(400, f"malformed ICE credential {value[:40]!r}")
    return value


def _candidate(value: str) -> RTCIceCandidate:
    try:
        return candidate_from_sdp(value)
    except (AssertionError, ValueError, IndexError) as error:
        raise Problem(400, f"malformed candidate {value[:60]!r}") from error


def _usable(candidate: RTCIceCandidate) -> bool:
    if candidate.protocol.lower() != "udp" or not 0 < candidate.port <= MAX_PORT:
        return False
    if candidate.ip.endswith(".local"):
        return True  # resolved by multicast DNS, as browsers expect
    try:
        ipaddress.ip_address(candidate.ip)
    except ValueError:
        return False
    return True
