"""`foveal serve`: live sessions with glasses, phones and browsers over WebRTC."""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stream.errors import DeviceError

if TYPE_CHECKING:
    from foveal.config.schema import Config
    from foveal.server.app import ServeConfig

EPILOG = """examples:
  foveal serve
  foveal serve --host 0.0.0.0 --port 8443 --self-signed
  foveal serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --tokens tokens.json
  foveal serve --config edge --max-sessions 1 --record recordings/ --blur-faces
  foveal serve --camera rtsp://glasses.local/live --camera-sound --wake "hey foveal" --photos
  foveal serve --mqtt mqtts://glasses@broker.local --mqtt-id my-glasses

Open the printed address in a browser. Browsers give the camera only to pages from localhost or
over HTTPS, so other machines need --self-signed or a certificate. An address that others can reach
needs a token: one of --tokens (see `foveal token`), --token, or else a random one; the printed
address carries it after the #, where no log sees it. The broker's password for --mqtt comes from
FOVEAL_MQTT_PASSWORD (see docs/mqtt.md), that of a TURN server from FOVEAL_TURN_PASSWORD.
"""
TOKEN_BYTES = 18


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser(
        "serve",
        help="live sessions over WebRTC, with a web client",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="TCP port; 0 takes a free one")
    parser.add_argument("--token", help="what clients must present")
    parser.add_argument("--tokens", type=Path, metavar="FILE", help="made by `foveal token`")
    parser.add_argument(
        "--origin", action="append", default=[], metavar="URL", help="page of another site (CORS)"
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
        "--ice-server",
        action="append",
        default=[],
        metavar="URL",
        help="stun:HOST or turn:NAME@HOST[?transport=tcp]; none by default",
    )
    parser.add_argument("--max-sessions", type=int, default=2, metavar="N")
    parser.add_argument("--idle", type=float, default=600.0, metavar="S", help="then the end")
    parser.add_argument(
        "--resume", type=float, default=120.0, metavar="S", help="a lost session waits so long"
    )
    parser.add_argument(
        "--config", default="embedded", metavar="PROFILE|FILE", help="settings (default embedded)"
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
        default="off",
        help="our voice in the microphone: left to the client (default), found, or not listened to",
    )
    parser.add_argument("--mqtt", metavar="URL", help="broker for Homie and Home Assistant")
    parser.add_argument(
        "--mqtt-id", default="foveal", metavar="ID", help="this device's name there"
    )
    parser.add_argument("--mqtt-ca", type=Path, metavar="PEM", help="the broker's authorities")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; 0 after a clean end."""
    from foveal.config.load import load_config
    from foveal.server.launch import is_local, settings

    config = load_config(args.config)
    token = args.token
    if token is None and args.tokens is None and not is_local(args.host):
        token = secrets.token_urlsafe(TOKEN_BYTES)
    return asyncio.run(_serve(settings(args, config, token), config, args, token))


async def _serve(
    settings: "ServeConfig", config: "Config", args: argparse.Namespace, token: str | None
) -> int:
    from aiohttp import web

    from devices.listening.echo import EchoConfig
    from devices.listening.listener import ListenConfig
    from devices.webrtc.turn import warn_of_trouble
    from foveal.live.engine import load_engine
    from foveal.live.speech.hearing import LiveHearingConfig
    from foveal.server.app import LiveServer
    from foveal.server.launch import addresses, session_link, tls_context
    from foveal.server.mqtt.service import LiveMqtt

    listen = ListenConfig(wake_phrase=args.wake)
    hearing = LiveHearingConfig(listen, echo=EchoConfig(args.echo))
    server = LiveServer(settings)
    mqtt = LiveMqtt(server, args.mqtt, args.mqtt_id, args.mqtt_ca)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(number, stop.set)
    tls = tls_context(args)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await _listen(runner, args, tls)
        scheme, port = "https" if tls else "http", runner.addresses[0][1]
        urls = addresses(scheme, args.host, port, token)
        for url in urls:
            print(f"Foveal listens on {url}", flush=True)
        await stack.enter_async_context(mqtt)
        checking = asyncio.create_task(warn_of_trouble(settings.ice_servers))
        stack.callback(checking.cancel)
        print("loading the models ...", flush=True)
        stopped = asyncio.create_task(stop.wait())
        loading = asyncio.create_task(
            server.load(lambda: mqtt.engine(load_engine(config, hearing)))
        )
        await asyncio.wait({stopped, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            for spot in server.spots:
                print(f"{spot.name}: {session_link(urls[0], spot.room.id)}", flush=True)
            print("ready; Ctrl-C ends it", flush=True)
            await stopped
        print("ending the sessions ...", file=sys.stderr, flush=True)
    if server.stuck:
        # Python would tear a working model down under its thread, and abort.
        sys.stdout.flush()
        os._exit(0)
    return 0


async def _listen(runner: object, args: argparse.Namespace, tls: ssl.SSLContext | None) -> None:
    from aiohttp import web

    assert isinstance(runner, web.AppRunner)
    try:
        await web.TCPSite(runner, args.host, args.port, ssl_context=tls).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error.strerror
        raise DeviceError(
            f"expected to listen on {args.host}:{args.port}, got: {reason}; "
            "choose another --host or --port"
        ) from error
