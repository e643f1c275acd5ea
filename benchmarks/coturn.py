"""A real TURN server (Debian's coturn) on loopback: a long-term credential, or a shared secret."""

import asyncio
import shutil
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from aiortc import RTCIceServer

from stream.errors import DeviceError

USER, PASSWORD, REALM = "glasses", "not-a-secret", "box.local"


def find_turnserver() -> str | None:
    """The server's program, if it is installed."""
    return shutil.which("turnserver") or shutil.which("turnserver", path="/usr/sbin")


class Coturn:
    """One server, for UDP and TCP; it keeps its files in `folder`.

    Raises DeviceError where it is not installed.
    """

    def __init__(self, folder: Path, secret: str | None = None) -> None:
        program = find_turnserver()
        if program is None:
            raise DeviceError("expected turnserver on this machine (Debian: apt install coturn)")
        self._program, self._folder, self._secret = program, folder, secret
        self._process: Process | None = None
        self.port = _free_port()
        self.log: list[str] = []
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Coturn":
        known = ["--lt-cred-mech", "--user", f"{USER}:{PASSWORD}"]
        if self._secret is not None:
            known = ["--use-auth-secret", f"--static-auth-secret={self._secret}"]
        options = [
            *("-n", "--no-cli", "--no-tls", "--no-dtls", "--fingerprint"),
            *("--realm", REALM, *known),
            *("--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"),
            *("--listening-port", str(self.port), "--min-port", "42000", "--max-port", "42999"),
            *("--allow-loopback-peers", "--verbose", "--log-file", "stdout"),
            *("--userdb", str(self._folder / "turn.db")),
            *("--pidfile", str(self._folder / "turn.pid")),
        ]
        self._process = await asyncio.create_subprocess_exec(
            self._program, *options, stdout=PIPE, stderr=DEVNULL, cwd=self._folder
        )
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.returncode is None, f"turnserver ended: {self.log}"
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        """It is gone, without a word to anybody."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    def server(self, transport: str = "udp", password: str = PASSWORD) -> RTCIceServer:
        """What a WebRTC connection takes."""
        return RTCIceServer(self.url(transport), username=USER, credential=password)

    def url(self, transport: str = "udp") -> str:
        """Where it is."""
        return f"turn:127.0.0.1:{self.port}?transport={transport}"

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            self.log.append(line.decode(errors="replace").rstrip())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
