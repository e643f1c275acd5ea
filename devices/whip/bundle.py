"""Offers in the form that aiortc takes: each section complete by itself.

In a bundle (RFC 9143) one section, the first of the group, describes the transport of all. The
others may have port 0 (`bundle-only`) and leave out what RFC 8859 calls transport attributes: so
do Firefox, GStreamer and the example of RFC 9725. What the tagged section says counts for
all (aiortc takes credentials of the first section and candidates of the last one). Directions are
written out, too: RFC 8866 lets them stand before all sections, or nowhere.
"""

import re
from collections.abc import Sequence

from devices.webrtc.reach import announced

TRANSPORT = (
    *("ice-ufrag", "ice-pwd", "ice-options", "candidate", "end-of-candidates"),
    *("fingerprint", "setup", "tls-id", "rtcp-mux"),
)
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")  # the first one where none stands
END = "a=end-of-candidates"
DISCARD = r"\1 9 "  # the port of a section whose candidates come elsewhere (RFC 8840 section 4.1)
_NO_PORT = re.compile(r"(m=\S+) 0 ")

Lines = list[str]


def split_sections(text: str) -> tuple[Lines, list[Lines]]:
    """The lines before all sections, and those of each section, its m= line first."""
    parts: list[Lines] = [[]]
    for line in text.splitlines():
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line)
    return parts[0], parts[1:]


def join_sections(head: Lines, sections: Sequence[Lines]) -> str:
    """The inverse of `split_sections`, with the line ends that SDP has."""
    return "".join(f"{line}\r\n" for part in (head, *sections) for line in part)


def attribute(lines: Lines, name: str) -> Lines:
    """The a= lines of that name."""
    return [line for line in lines if line == f"a={name}" or line.startswith(f"a={name}:")]


def complete_sections(text: str, both: str = "sendrecv") -> str:
    """An offer with whole sections; never raises, what is no offer stays none.

    `both` is what `sendrecv` becomes: RFC 9725 and WHEP answer it in one direction only.
    """
    head, sections = split_sections(text)
    mids = _bundled(head, sections)
    tagged = next((one for one in sections if mids and _mid(one) == mids[0]), [])
    done = []
    for section in sections:
        whole = _on_transport(section, head, tagged) if _mid(section) in mids else section
        done.append(_directed(whole, head, both))
    return join_sections(head, done)


def complete_answer(text: str, offer: str, announce: Sequence[str] = ()) -> str:
    """aiortc's answer with what it leaves out or adds.

    Late candidates are taken (RFC 8838), nothing is bundled that was not offered so, and our ports
    are told under the addresses of `announce` as well.
    """
    head, sections = split_sections(text)
    if not _group(split_sections(offer)[0]):
        head = [line for line in head if not line.startswith("a=group:BUNDLE")]
    for number, section in enumerate(sections):
        last = section.index(END) if END in section else len(section)
        more = announced(attribute(section, "candidate"), announce)
        sections[number] = [*section[:last], *more, *section[last:]]
    return join_sections([*head, "a=ice-options:trickle"], sections)


def _bundled(head: Lines, sections: Sequence[Lines]) -> list[str]:
    """Identifiers of what shares a transport; a single section is alone on it."""
    group = _group(head)
    if group or len(sections) != 1:
        return group
    return [mid for mid in (_mid(sections[0]),) if mid]


def _group(head: Lines) -> list[str]:
    words = [line.split() for line in attribute(head, "group")]
    return next((one[1:] for one in words if one[0] == "a=group:BUNDLE"), [])


def _mid(section: Lines) -> str:
    return next((line[len("a=mid:") :] for line in attribute(section, "mid")), "")


def _on_transport(section: Lines, head: Lines, tagged: Lines) -> Lines:
    """A bundled section with the transport's attributes."""
    first = section[0]
    if attribute(section, "bundle-only"):
        first = _NO_PORT.sub(DISCARD, first)
    shared = {name: attribute(tagged, name) or attribute(head, name) for name in TRANSPORT}
    if not shared["rtcp-mux"] and attribute(tagged, "rtcp-mux-only"):
        shared["rtcp-mux"] = ["a=rtcp-mux"]  # RFC 8858: with nothing else
    # The sender begins the DTLS handshake where it may, as in the example of RFC 9725: GStreamer's
    # RSA certificate suits none of the ciphers that aiortc takes as a client.
    shared["setup"] = [line.replace("actpass", "active") for line in shared["setup"]]
    old = {line for name, lines in shared.items() if lines for line in attribute(section, name)}
    own = [line for line in section[1:] if line not in old]
    return [first, *own, *(line for lines in shared.values() for line in lines)]


def _directed(section: Lines, head: Lines, both: str) -> Lines:
    """A section with its direction."""
    known = [f"a={direction}" for direction in DIRECTIONS]
    own = next((line for line in section if line in known), None)
    direction = own or next((line for line in head if line in known), known[0])
    if direction == known[0]:
        direction = f"a={both}"
    return [*(line for line in section if line not in known), direction]
