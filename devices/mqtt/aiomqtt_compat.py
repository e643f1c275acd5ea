"""The private names of aiomqtt, all that are used: no other module touches one."""

import asyncio
from contextlib import suppress

import aiomqtt

WRITTEN_FOR = {"aiomqtt": ("2.5", "2.6")}  # from, below


def release(client: aiomqtt.Client) -> None:
    """Close what aiomqtt leaves open when a connection fails half way: its socket and a task."""
    sock = client._client.socket()
    if sock is not None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
        with suppress(OSError):
            sock.close()
    if client._misc_task is not None:
        client._misc_task.cancel()
