"""A bridge on a real broker: who asks, who listens, and how long to wait."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import pytest_asyncio

from devices.board.power import PowerReading
from devices.mqtt.bridge import Handlers, MqttBridge
from devices.mqtt.homie import HomieProperty, HomieValue
from devices.mqtt.options import BridgeOptions, Broker
from devices.mqtt.questions import MqttQuestion, foveal_device
from stream.clock import NS_PER_MS, MonotonicClock
from stream.errors import ConfigError, PromptError
from stream.outgoing import OutgoingLog
from tests.devices.mqtt.broker import Mosquitto

ROOT = "homie/5/glasses"
FAST = BridgeOptions(
    timeout_s=10.0, first_delay_ns=20 * NS_PER_MS, most_delay_ns=60 * NS_PER_MS, outbox=16
)
SPEECH = HomieProperty("speech", "Speech", "boolean", settable=True)
LEVEL = HomieProperty("level", "Level", "integer", "0:10:2", settable=True)


class Assistant:
    """Answers a question with its words in capitals; `gate` holds answers back."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[MqttQuestion] = []
        self.settings: dict[str, HomieValue] = {}
        self.reading = PowerReading(80, False, 41.5)
        self.log = OutgoingLog()

    async def ask(self, ask: MqttQuestion) -> Mapping[str, Any]:
        self.asked.append(ask)
        await self.gate.wait()
        if ask.text == "refuse":
            raise PromptError("nobody is connected")
        if ask.text == "fail":
            raise RuntimeError("secret detail")
        return {"text": ask.text.upper()}

    def set(self, name: str, value: HomieValue) -> HomieValue:
        if value == 10:
            raise ConfigError("ten is too much today")
        self.settings[name] = value
        return value

    def bridge(self, broker: Broker, options: BridgeOptions = FAST) -> MqttBridge:
        device = foveal_device("glasses", "Glasses", (SPEECH, LEVEL))
        handlers = Handlers(self.ask, self.set)
        clock = MonotonicClock()
        read, log = (lambda: self.reading), self.log
        return MqttBridge(device, broker, clock, handlers, options, "1", read, log)


class Listener:
    """Another client of the broker, that keeps all it hears."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[tuple[str, str]] = []

    def all(self, topic: str) -> list[str]:
        return [payload for heard, payload in self.heard if heard == f"{ROOT}/{topic}"]

    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.all("assistant/answer")]

    async def send(self, topic: str, payload: str | bytes, retain: bool = False) -> None:
        await self.client.publish(f"{ROOT}/{topic}", payload, qos=1, retain=retain)


@asynccontextmanager
async def listening(port: int, **login: str) -> AsyncIterator[Listener]:
    async with aiomqtt.Client("127.0.0.1", port, **login) as client:  # type: ignore[arg-type]
        listener = Listener(client)

        async def listen() -> None:
            with suppress(aiomqtt.MqttError):
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    listener.heard.append(
                        (str(message.topic), message.payload.decode(errors="replace"))
                    )

        await client.subscribe("#", qos=1)
        task = asyncio.create_task(listen())
        try:
            yield listener
        finally:
            task.cancel()


@asynccontextmanager
async def running(bridge: MqttBridge) -> AsyncIterator[MqttBridge]:
    task = asyncio.create_task(bridge.run())
    try:
        yield bridge
    finally:
        await bridge.close(task)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    await broker.start()
    yield broker
    await broker.kill()


@pytest.fixture
def assistant() -> Assistant:
    return Assistant()
