"""`foveal serve`: live sessions with glasses, phones and browsers over WebRTC."""

import argparse
from pathlib import Path

HELP = "live sessions over WebRTC, with a web client"
EPILOG = """examples:
  foveal serve
  foveal serve --host 0.0.0.0 --port 8443 --self-signed
  foveal serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --tokens tokens.json
  foveal serve --config edge --max-sessions 1 --record recordings/ --blur-faces
  foveal serve --camera rtsp://glasses.local/live --camera-sound --wake "hey foveal" --photos
  foveal serve --host 0.0.0.0 --self-signed --udp-ports 40000-40010 --announce 192.0.2.7
  foveal serve --index notes.index --index manuals.index
  foveal serve --mqtt mqtts://glasses@broker.local --mqtt-id my-glasses

Open the printed address in a browser. Browsers give the camera only to pages from localhost or
over HTTPS, so other machines need --self-signed or a certificate. An address that others can reach
needs a token: one of --tokens (see `foveal token`), that of FOVEAL_TOKEN or --token-file, or else a
random one. On a terminal the printed address carries it after the #; a service keeps it in a file
that only its user may read, and prints where. The broker's password for --mqtt comes from
FOVEAL_MQTT_PASSWORD (see docs/mqtt.md), that of a TURN server from FOVEAL_TURN_PASSWORD, or for one
that shares a secret (coturn: use-auth-secret) the secret from FOVEAL_TURN_SECRET.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="TCP port; 0 takes a free one")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds what clients must present"
    )
    parser.add_argument("--tokens", type=Path, metavar="FILE", help="made by `foveal token`")
    parser.add_argument(
        "--origin", action="append", default=[], metavar="URL", help="page of another site (CORS)"
    )
    parser.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="ADDR",
        help="reverse proxy (address or network) whose X-Forwarded-* headers count",
    )
    parser.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="URL",
        help="a camera to read (rtsp, srt, rtmp, udp, tcp, http); it gets a session of its own",
    )
    parser.add_argument(
        "--camera-sound",
        action="store_true",
        help="listen to those cameras all the time (see --wake), not only while a client says so",
    )
    parser.add_argument(
        "--photos", action="store_true", help="take photos by POST /photo, in a session of its own"
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=4.2,
        metavar="N",
        help="of a picture or photo; a larger one is refused undecoded (default 4.2, 2048 x 2048)",
    )
    parser.add_argument(
        "--ice-server",
        action="append",
        default=[],
        metavar="URL",
        help="stun:HOST or turn:NAME@HOST[?transport=tcp]; none by default",
    )
    parser.add_argument(
        "--udp-ports", metavar="A-B", help="for media, as 40000-40010 (default: any port)"
    )
    parser.add_argument(
        "--announce",
        action="append",
        default=[],
        metavar="ADDR",
        help="address that others reach the same ports at: a container's host, a router",
    )
    parser.add_argument("--max-sessions", type=int, default=2, metavar="N")
    parser.add_argument("--idle", type=float, default=600.0, metavar="S", help="then the end")
    parser.add_argument(
        "--resume", type=float, default=120.0, metavar="S", help="a lost session waits so long"
    )
    parser.add_argument(
        "--config", default="embedded", metavar="PROFILE|FILE", help="settings (default embedded)"
    )
    parser.add_argument(
        "--index",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="an index of your own, searched before the knowledge base; repeatable",
    )
    parser.add_argument(
        "--remember",
        type=Path,
        metavar="FILE",
        help="keep what is seen and said in this memory, and tell the wearer so",
    )
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate chain")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")
    parser.add_argument("--self-signed", action="store_true", help="make a certificate, keep it")
    parser.add_argument("--record", type=Path, metavar="DIR", help="let clients record into DIR")
    parser.add_argument(
        "--consent-minutes",
        type=float,
        default=15.0,
        metavar="M",
        help="a recording ends then, unless the client asks again (default 15)",
    )
    parser.add_argument("--keep-days", type=float, default=7.0, help="of recordings (default 7)")
    parser.add_argument("--keep-mb", type=int, default=10_240, help="of recordings in all")
    parser.add_argument(
        "--blur-faces", action="store_true", help="hide faces before anything is recorded"
    )
    parser.add_argument("--wake", metavar="PHRASE", help="spoken questions begin with this")
    parser.add_argument(
        "--echo",
        choices=("off", "compare", "half-duplex"),
        default="compare",
        help="our voice in the microphone: left to the client, found (default), or not listened to",
    )
    parser.add_argument("--mqtt", metavar="URL", help="broker for Homie and Home Assistant")
    parser.add_argument(
        "--mqtt-id", default="foveal", metavar="ID", help="this device's name there"
    )
    parser.add_argument("--mqtt-ca", type=Path, metavar="PEM", help="the broker's authorities")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; 0 after a clean end."""
    from foveal.jobs.serve import serve

    return serve(args)
