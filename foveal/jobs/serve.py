"""`foveal serve`: a live server from its start to its end."""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import ssl
import sys

from aiohttp import web

from devices.listening.echo import EchoConfig
from devices.listening.listener import ListenConfig
from devices.webrtc.turn import warn_of_trouble
from foveal.config.load import load_config, with_indexes, with_memory
from foveal.config.schema import Config
from foveal.live.engine import load_engine
from foveal.live.speech.hearing import LiveHearingConfig
from foveal.server.app import LiveServer
from foveal.server.launch import (
    addresses,
    given_token,
    is_local,
    keep_token,
    qr_code,
    serve_config,
    session_link,
    tls_context,
)
from foveal.server.mqtt.service import LiveMqtt
from foveal.server.peers import ServeConfig
from foveal.server.transport.patience import KEEPALIVE_S, Patience
from stream.clock import MonotonicClock
from stream.errors import DeviceError

TOKEN_BYTES = 18
PLAIN = """
*****************************************************************************************
WARNING: others reach this address WITHOUT TLS. Whoever is on the way reads the pictures,
the sound, the answers and the tokens, and may change them. Use --self-signed, --tls-cert
and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS (--proxy).
*****************************************************************************************
"""


def serve(args: argparse.Namespace) -> int:
    """Serve as the command line says until Ctrl-C or SIGTERM; 0 after a clean end."""
    config = with_memory(with_indexes(load_config(args.config), args.index), args.remember)
    token, made = given_token(args), False
    if token is None and args.tokens is None and not is_local(args.host):
        token, made = secrets.token_urlsafe(TOKEN_BYTES), True
    settings, shown = serve_config(args, config, token), token
    if not sys.stdout.isatty():  # a service: what it prints is kept in a log
        shown = None
        if token is not None and made:
            print(f"the token of this run is in {keep_token(token)}", flush=True)
    return asyncio.run(_serve(settings, config, args, shown))


async def _serve(
    settings: ServeConfig, config: Config, args: argparse.Namespace, token: str | None
) -> int:
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
    patience = Patience(MonotonicClock())
    app = server.application()
    patience.watch(app)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=5.0, keepalive_timeout=KEEPALIVE_S
    )
    await runner.setup()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await _listen(runner, args, tls)
        if tls is None and not is_local(args.host):
            print(PLAIN, file=sys.stderr, flush=True)
        sending_off = asyncio.create_task(patience.send_off(runner))
        stack.callback(sending_off.cancel)
        scheme, port = "https" if tls else "http", runner.addresses[0][1]
        urls = addresses(scheme, args.host, port, token)
        for url in urls:
            print(f"Foveal listens on {url}", flush=True)
        if sys.stdout.isatty() and (code := qr_code(urls)) is not None:
            print(f"on a phone:\n{code}", flush=True)
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


async def _listen(
    runner: web.AppRunner, args: argparse.Namespace, tls: ssl.SSLContext | None
) -> None:
    try:
        await web.TCPSite(runner, args.host, args.port, ssl_context=tls).start()
    except OSError as error:
        number = error.errno or 0  # negative for a host that nobody knows
        reason = os.strerror(number) if number > 0 else error.strerror
        raise DeviceError(
            f"expected to listen on {args.host}:{args.port}, got: {reason}; "
            "choose another --host or --port"
        ) from error
