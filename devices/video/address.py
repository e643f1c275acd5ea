"""Addresses of live video, and how they are told without their secrets."""

import re
from urllib.parse import SplitResult, urlsplit

from stream.errors import ConfigError

# By scheme, the containers that FFmpeg may find there, and what it may open on the way. Whatever
# names further addresses or files (HLS, DASH, concat, SDP, image lists) is not among them: a camera
# must not make this machine read for it.
_STREAMS = "mpegts,flv,matroska,webm,mov,mjpeg,mpjpeg,h264,hevc,av1,obu,mpegvideo,m4v,ivf,nut,ogg"
_ALLOWED = {
    "rtsp": ("rtsp", "rtp,udp,tcp"),
    "rtsps": ("rtsp", "rtp,udp,tls,tcp"),
    "rtmp": (_STREAMS, "rtmp,tcp"),
    "rtmps": (_STREAMS, "rtmps,tls,tcp"),
    "srt": (_STREAMS, "srt"),
    "udp": (_STREAMS, "udp"),
    "rtp": ("rtp", "rtp,udp"),
    "tcp": (_STREAMS, "tcp"),
    "http": (_STREAMS, "http,tcp"),
    "https": (_STREAMS, "https,http,tls,tcp"),
}
SCHEMES = frozenset(_ALLOWED)
_SECRET = re.compile(r"(user|login|pass|pwd|token|secret|key|auth)\w*=", re.IGNORECASE)
ESCAPES = "write # in a user or password as %23, / as %2F, ? as %3F and @ as %40"


def fences(url: str) -> dict[str, str]:
    """FFmpeg's options that hold it to this address of `SCHEMES`: no other one, no file."""
    scheme = urlsplit(url).scheme.lower()
    formats, protocols = _ALLOWED[scheme]
    fenced = {"format_whitelist": formats, "protocol_whitelist": protocols}
    # A redirect is an address that the camera chose.
    return {**fenced, "max_redirects": "0"} if scheme in ("http", "https") else fenced


def public_name(url: str) -> str:
    """A live URL without user, password, query and what looks like a secret in its path.

    Raises ConfigError for what is no address of live video, or can be read in two ways: a password
    with a bare # or / in it would end the host there. The error does not repeat the URL.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() not in SCHEMES:
        raise ConfigError(f"expected a URL with one of {sorted(SCHEMES)}, got {parts.scheme!r}")
    if parts.fragment or "#" in url or not _has_port(parts) or _late_at(parts):
        raise ConfigError(f"expected {parts.scheme}://USER:PASSWORD@HOST:PORT/PATH; {ESCAPES}")
    where = parts.netloc.rpartition("@")[2]
    secret = _SECRET.search(parts.path)
    path = parts.path if secret is None else parts.path[: secret.start()] + "..."
    return f"{parts.scheme}://{where}{path}"


def _has_port(parts: SplitResult) -> bool:
    """Whether what follows the host's colon is a port, or nothing does."""
    try:
        return parts.port is None or parts.port >= 0
    except ValueError:
        return False


def _late_at(parts: SplitResult) -> bool:
    """Whether an @ stands behind the host and none before it: it may end a password."""
    return "@" not in parts.netloc and "@" in parts.path
