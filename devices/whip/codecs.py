"""Codecs in offers, H.264 above all (RFC 6184): aiortc takes Baseline, FFmpeg decodes much more.

What a sender offers is shown to aiortc as what it knows, and told back to the sender as it was
offered: profile and packetization mode have to be the same in both directions.
"""

from collections.abc import Mapping

from aiortc import RTCRtpReceiver

from devices.http.problems import Problem
from devices.whip.bundle import Lines, attribute, join_sections, split_sections

AIORTC = {
    "level-asymmetry-allowed": "1",
    "packetization-mode": "1",
    "profile-level-id": "42e01f",
}
PROFILES = {  # profile_idc that FFmpeg decodes
    "42": "Baseline",
    "4d": "Main",
    "64": "High",
    "6e": "High 10",
    "7a": "High 4:2:2",
    "f4": "High 4:4:4",
}
MODES = ("0", "1")  # 2 interleaves: no depacketizer here puts that in order
DEFAULT_PROFILE = "42000a"  # RFC 6184 section 8.1
H264 = "h264"
HELPERS = frozenset({"rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn"})  # no media

Parameters = dict[str, str]
Offered = dict[str, Parameters]  # by payload type


def adapt_h264(text: str) -> tuple[str, Offered]:
    """An offer with the H.264 that can be received in aiortc's terms, and what was offered."""
    head, sections = split_sections(text)
    offered: Offered = {}
    for number, section in enumerate(sections):
        formats = h264_formats(section)
        good = {kind: one for kind, one in formats.items() if is_received(one)}
        dropped = tuple(f"a=fmtp:{kind} " for kind in good)
        rest = [line for line in section if not line.startswith(dropped)] if good else section
        sections[number] = [*rest, *(_line(kind, AIORTC) for kind in good)]
        offered |= good
    return join_sections(head, sections), offered


def restore_h264(answer: str, offered: Mapping[str, Parameters]) -> str:
    """Our answer in the sender's own terms."""
    head, sections = split_sections(answer)
    for number, section in enumerate(sections):
        if section[0].startswith("m=video"):
            sections[number] = [line for old in section if (line := _restored(old, offered))]
    return join_sections(head, sections)


def check_codecs(text: str) -> None:
    """Look through an adapted offer; raises Problem 422 for a section without a known codec."""
    for section in split_sections(text)[1]:
        kind = section[0][len("m=") :].split()[0]
        if kind in ("audio", "video"):
            _check_section(section, kind)


def _check_section(section: Lines, kind: str) -> None:
    known = [one.name for one in RTCRtpReceiver.getCapabilities(kind).codecs]
    names = {one.lower() for one in known} - HELPERS - {H264}
    offered = _offered(section)
    h264 = h264_formats(section).values()
    if names & offered.keys() or any(_is_aiortc(one) for one in h264):
        return
    told = [name for low, name in offered.items() if low not in HELPERS | {H264}]
    told += [describe_h264(one) for one in h264]
    wanted = " or ".join(dict.fromkeys(one for one in known if one.lower() not in HELPERS))
    if h264:
        wanted += " (Constrained Baseline, packetization-mode 1)"
    raise Problem(
        422, f"m={kind}: the sender offers {', '.join(told) or 'no codec'}; set it to {wanted}"
    )


def h264_formats(section: Lines) -> Offered:
    """The parameters of a section's H.264 payload types."""
    return {
        kind: _parameters(section, kind) for kind, name in _codecs(section) if name.lower() == H264
    }


def is_received(parameters: Mapping[str, str]) -> bool:
    """Whether such a stream can be taken apart and decoded here."""
    mode = parameters.get("packetization-mode", "0")
    profile = parameters.get("profile-level-id", DEFAULT_PROFILE)
    return mode in MODES and profile[:2].lower() in PROFILES


def describe_h264(parameters: Mapping[str, str]) -> str:
    """In words, for whoever has to change a setting."""
    profile = parameters.get("profile-level-id", DEFAULT_PROFILE)
    name = PROFILES.get(profile[:2].lower(), f"profile {profile}")
    return f"H.264 {name}, packetization-mode {parameters.get('packetization-mode', '0')}"


def _is_aiortc(parameters: Mapping[str, str]) -> bool:
    profile = parameters.get("profile-level-id", AIORTC["profile-level-id"])
    return parameters.get("packetization-mode") == "1" and profile.startswith("42")


def _offered(section: Lines) -> dict[str, str]:
    return {name.lower(): name for _, name in _codecs(section)}


def _codecs(section: Lines) -> list[tuple[str, str]]:
    """(payload type, name) of each a=rtpmap."""
    maps = [line[len("a=rtpmap:") :].split(None, 1) for line in attribute(section, "rtpmap")]
    return [(one[0], one[1].partition("/")[0]) for one in maps if len(one) == 2]


def _parameters(section: Lines, kind: str) -> Parameters:
    start = f"a=fmtp:{kind} "
    text = next((line[len(start) :] for line in section if line.startswith(start)), "")
    pairs = [part.strip().partition("=") for part in text.split(";")]
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name}


def _restored(line: str, offered: Mapping[str, Parameters]) -> str:
    name, _, rest = line.partition(":")
    kind = rest.partition(" ")[0]
    if name != "a=fmtp" or kind not in offered:
        return line
    echoed = {key: offered[kind][key] for key in AIORTC if key in offered[kind]}
    return _line(kind, echoed) if echoed else ""


def _line(kind: str, parameters: Mapping[str, str]) -> str:
    return f"a=fmtp:{kind} " + ";".join(f"{key}={value}" for key, value in parameters.items())
