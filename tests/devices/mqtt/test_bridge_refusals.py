"""Brokers that refuse, are none, or say nothing."""

import asyncio
import gc
import os
import socket
from pathlib import Path

import pytest

from devices.mqtt.options import BridgeOptions, Broker
from devices.mqtt.questions import ASSISTANT
from stream.clock import NS_PER_MS
from stream.errors import ConfigError
from tests.devices.mqtt.bridge_rig import (
    Assistant,
    assistant,
    mosquitto,
    running,
    until,
)
from tests.devices.mqtt.broker import PASSWORD, USER, Mosquitto

__all__ = ["assistant", "mosquitto"]


async def test_nobody_is_let_in_without_the_password(tmp_path: Path, assistant: Assistant) -> None:
    mosquitto = Mosquitto(tmp_path, with_password=True)
    await mosquitto.start()
    try:
        address = ("127.0.0.1", mosquitto.port)
        for broker in (Broker(*address), Broker(*address, username=USER, password="wrong")):
            async with running(assistant.bridge(broker)) as bridge:
                await until(lambda one=bridge: bool(one.stats().last_error))  # type: ignore[misc]
                assert "authorized" in bridge.stats().last_error.lower()
                assert "wrong" not in bridge.stats().last_error
                assert bridge.stats().connects == 0
        good = Broker(*address, username=USER, password=PASSWORD)
        async with running(assistant.bridge(good)) as bridge:
            await until(lambda: bridge.stats().connected)
    finally:
        await mosquitto.kill()


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())) if os.name == "posix" else 0


async def test_servers_that_are_no_brokers_are_left_alone(assistant: Assistant) -> None:
    visits: list[bytes] = []

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await reader.read(10))
        if len(visits) % 2:
            writer.write(b"\x20\xff\xff\xff\xff\xff HTTP/1.1 400 no")
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = BridgeOptions(timeout_s=0.1, first_delay_ns=NS_PER_MS, most_delay_ns=2 * NS_PER_MS)
    async with running(assistant.bridge(Broker("127.0.0.1", port), options)) as bridge:
        await until(lambda: len(visits) >= 6)
        assert bridge.stats().connects == 0
        assert bridge.stats().last_error
    server.close()


async def test_a_server_that_says_nothing_costs_no_descriptors(assistant: Assistant) -> None:
    options = BridgeOptions(timeout_s=0.05, first_delay_ns=NS_PER_MS, most_delay_ns=2 * NS_PER_MS)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as mute:
        broker = Broker("127.0.0.1", mute.getsockname()[1])
        async with running(assistant.bridge(broker, options)) as bridge:
            await until(lambda: bridge.stats().attempts >= 3)
            before, tasks = descriptors(), len(asyncio.all_tasks())
            await until(lambda: bridge.stats().attempts >= 13)
            assert descriptors() <= before + 3
            assert len(asyncio.all_tasks()) <= tasks + 3
            assert "timed out" in bridge.stats().last_error


async def test_closing_without_a_broker_is_quick_and_counts_what_was_lost(
    assistant: Assistant,
) -> None:
    options = BridgeOptions(flush_ns=50 * NS_PER_MS)
    bridge = assistant.bridge(Broker("127.0.0.1", 1), options)
    task = asyncio.create_task(bridge.run())
    await until(lambda: bool(bridge.stats().last_error))
    bridge.publish(ASSISTANT, "busy", True)
    await bridge.close(task)
    assert task.done()
    assert bridge.stats().dropped["closed"] >= 1
    with pytest.raises(ConfigError, match="property"):
        bridge.publish("no", "such", 1)
    with pytest.raises(ConfigError, match="boolean"):
        bridge.publish(ASSISTANT, "busy", 1)
