"""A real mosquitto on a free port, that can be killed and started again."""

import asyncio
import os
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

import pytest

USER, PASSWORD = "glasses", "not-a-secret"


def find_mosquitto() -> str:
    """The broker's program; skips with the reason where it is absent."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Mosquitto:
    """One broker. What it retains is forgotten when it is killed: it keeps nothing on disk."""

    def __init__(self, folder: Path, with_password: bool = False) -> None:
        self._program = find_mosquitto()
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence false"]
        if with_password:
            lines += ["allow_anonymous false", f"password_file {folder / 'passwords'}"]
        else:
            lines += ["allow_anonymous true"]
        if os.name == "posix" and os.getuid() == 0:
            lines.append("user root")  # it would give up the right to read its files
        self._config.write_text("\n".join(lines) + "\n")
        self._folder, self._with_password = folder, with_password
        self._process: Process | None = None

    async def start(self) -> None:
        if self._with_password:
            tool = shutil.which("mosquitto_passwd") or str(
                Path(self._program).parent.parent / "bin" / "mosquitto_passwd"
            )
            file = str(self._folder / "passwords")
            made = await asyncio.create_subprocess_exec(tool, "-c", "-b", file, USER, PASSWORD)
            assert await made.wait() == 0
        self._process = await asyncio.create_subprocess_exec(
            self._program, "-c", str(self._config), stdout=DEVNULL, stderr=DEVNULL
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.returncode is None, "mosquitto ended at once"
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
