"""What `foveal serve` was asked for -> the server's settings, its certificate, its addresses."""

import argparse
import io
import ipaddress
import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import segno
from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

from devices.http.admission import Grant, hash_token
from devices.http.proxies import parse_proxies
from devices.webrtc.reach import parse_address, parse_ports
from devices.webrtc.turn import IceServer, TurnSecret
from foveal.assets.registry import cache_root
from foveal.config.schema import Config
from foveal.live.recording import RecordPolicy
from foveal.live.room import RoomLimits
from foveal.server.auth.tls import local_addresses, self_signed, server_context
from foveal.server.auth.tokens import TokenFile
from foveal.server.peers import ServeConfig
from foveal.setup.faces import blur_maker
from foveal.setup.processors import device_of
from foveal.setup.retrieval.web import outgoing_log
from stream.clock import UnixClock
from stream.errors import ConfigError
from stream.writing import writing

MB = 1024 * 1024
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - recognised here, bound only if asked for
DEFAULT_PORTS = {"http": ":80", "https": ":443"}  # left out of an origin
TOKEN_VARIABLE = "FOVEAL_TOKEN"  # noqa: S105 - its name
MIN_TOKEN_CHARS = 16
TURN_VARIABLE = "FOVEAL_TURN_PASSWORD"  # environment: others can read the command line
TURN_SHARED = "FOVEAL_TURN_SECRET"  # the same for servers that make passwords of a secret


def serve_config(args: argparse.Namespace, config: Config, token: str | None) -> ServeConfig:
    """The server's settings; `token` suffices besides those of --tokens.

    Raises ConfigError naming the option, AssetError when faces cannot be found.
    """
    _check(args)
    limits = RoomLimits(
        args.max_sessions,
        resume_s=args.resume,
        idle_s=args.idle,
        consent_s=60 * args.consent_minutes,
    )
    return ServeConfig(
        _grants(args, token),
        tuple(map(_origin, args.origin)),
        limits,
        config.session,
        _record(args, config),
        tuple(
            ice_server(url, os.environ.get(TURN_VARIABLE), os.environ.get(TURN_SHARED))
            for url in args.ice_server
        ),
        tuple(args.camera),
        args.photos,
        args.camera_sound,
        round(args.max_megapixels * 1e6),
        parse_proxies(args.proxy),
        None if args.udp_ports is None else parse_ports(args.udp_ports),
        tuple(map(parse_address, args.announce)),
        outgoing_log(),
    )


def _check(args: argparse.Namespace) -> None:
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"expected --port from 0 to 65535, got {args.port}")
    if not args.idle > 0:
        raise ConfigError(f"expected --idle above 0, got {args.idle}")
    if not args.resume >= 0:
        raise ConfigError(f"expected --resume of 0 or more, got {args.resume}")
    if args.max_sessions < 1:
        raise ConfigError(f"expected --max-sessions of 1 or more, got {args.max_sessions}")
    if args.camera_sound and not args.camera:
        raise ConfigError("expected --camera URL with --camera-sound, got no camera")
    if not 0.1 <= args.max_megapixels <= 100:
        raise ConfigError(f"expected --max-megapixels of 0.1 to 100, got {args.max_megapixels}")
    if not args.consent_minutes > 0:
        raise ConfigError(f"expected --consent-minutes above 0, got {args.consent_minutes}")
    if not args.keep_days > 0 or args.keep_mb < 1:
        raise ConfigError("expected --keep-days above 0 and --keep-mb of 1 or more")


def _origin(text: str) -> str:
    """A page's origin as browsers send it: without a slash at the end, in lower case.

    Raises ConfigError for what no browser would send.
    """
    if text == "*":
        return text
    parts = urlsplit(text)
    if not parts.scheme or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(f"expected --origin such as https://app.example.com, got {text!r}")
    host = parts.netloc.lower().removesuffix(DEFAULT_PORTS.get(parts.scheme, "/"))
    return f"{parts.scheme}://{host}"


def _grants(args: argparse.Namespace, token: str | None) -> Callable[[], Sequence[Grant]] | None:
    fixed = () if token is None else (Grant(hash_token(token), name="command line"),)
    if args.tokens is None:
        return (lambda: fixed) if fixed else None
    file = TokenFile(args.tokens.expanduser())
    file.grants()  # a broken file is told now
    return lambda: (*fixed, *file.grants())


def given_token(args: argparse.Namespace) -> str | None:
    """The token of FOVEAL_TOKEN or --token-file; raises ConfigError for one that can be guessed."""
    text, where = os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE
    if args.token_file is not None:
        where = str(args.token_file)
        try:
            text = args.token_file.expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ConfigError(f"expected a token in {where}, got: {error}") from error
    if text is None:
        return None
    token = text.strip()
    if len(token) < MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"expected a token of {MIN_TOKEN_CHARS} printable characters or more in {where}, such "
            "as `openssl rand -hex 24` makes"
        )
    return token


def keep_token(token: str) -> Path:
    """Write a random token where only this user reads it: not into the log of a service."""
    path = cache_root() / "serve" / "token"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(token + "\n", encoding="utf-8")
    return path


def _record(args: argparse.Namespace, config: Config) -> RecordPolicy | None:
    if args.record is None:
        if args.blur_faces:
            raise ConfigError("expected --record DIR with --blur-faces, got no folder to record to")
        return None
    try:
        args.record.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"expected a folder to record into at {args.record}, got: {error.strerror}"
        ) from error
    if not os.access(args.record, os.W_OK):
        raise ConfigError(f"expected a folder that can be written at {args.record}")
    blur = args.blur_faces or config.recording.blur_faces
    return RecordPolicy(
        args.record,
        args.keep_days * 86_400,
        args.keep_mb * MB,
        make_blur=blur_maker(device_of(config)) if blur else None,
    )


def ice_server(url: str, password: str | None, secret: str | None = None) -> IceServer:
    """`stun:HOST[:PORT]` or `turn:[NAME@]HOST[:PORT][?transport=tcp]` -> what WebRTC takes.

    A TURN server has a `password`, or else a `secret` that passwords are made of, for a day each.
    Raises ConfigError for anything else, and for TURN without any of them.
    """
    scheme, colon, rest = url.partition(":")
    name, at, where = rest.rpartition("@")
    plain = f"{scheme}{colon}{where}"
    try:
        parse_stun_turn_uri(plain)
    except ValueError as error:
        raise ConfigError(
            "expected --ice-server as stun:HOST or turn:NAME@HOST[:PORT][?transport=tcp], "
            f"got {plain!r}"
        ) from error
    if scheme in ("stun", "stuns"):
        return RTCIceServer(plain)
    if secret and not password:
        return TurnSecret(plain, secret, name)
    if not at or not name or not password:
        raise ConfigError(
            f"expected a name (turn:NAME@{where}) and its password in {TURN_VARIABLE}, or a shared "
            f"secret in {TURN_SHARED}, for a TURN server, got none"
        )
    return RTCIceServer(plain, username=name, credential=password)


def addresses(scheme: str, host: str, port: int, token: str | None) -> list[str]:
    """Where to go; an address that stands for all is told as those that it stands for.

    The token stands after the #, where no log sees it.
    """
    hosts = [host]
    if host in ANY_ADDRESS:
        hosts = ["localhost", *local_addresses()]
    shown = [f"[{name}]" if ":" in name else name for name in hosts]
    return [f"{scheme}://{name}:{port}/{f'#token={token}' if token else ''}" for name in shown]


def qr_code(urls: Sequence[str]) -> str | None:
    """The first address that another device can open, as a QR code to print; None without one."""
    far = [url for url in urls if not is_local(urlsplit(url).hostname or "")]
    if not far:
        return None
    printed = io.StringIO()
    segno.make(far[0], error="l", micro=False).terminal(printed, border=2, compact=True)
    return printed.getvalue()


def session_link(address: str, conversation: str) -> str:
    """An address of the page that opens a session there is."""
    return f"{address}{'&' if '#' in address else '#'}conversation={conversation}"


def tls_context(args: argparse.Namespace) -> ssl.SSLContext | None:
    """The certificate that was asked for, if any; raises ConfigError when it cannot be used."""
    if args.self_signed:
        if args.tls_cert is not None or args.tls_key is not None:
            raise ConfigError("expected --self-signed or --tls-cert, got both")
        names = {*local_addresses()} | ({args.host} - {*ANY_ADDRESS})
        made = self_signed(cache_root() / "tls", names, UnixClock())
        print(f"self-signed certificate, SHA-256 {made.fingerprint}", flush=True)
        return server_context(made.chain, made.key)
    if args.tls_cert is None and args.tls_key is None:
        return None
    if args.tls_cert is None or args.tls_key is None:
        raise ConfigError("expected --tls-cert and --tls-key together, got one of them")
    return server_context(args.tls_cert, args.tls_key)


def is_local(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
