"""The bridge against a real broker: what it tells, what it follows, what it survives."""

import asyncio
import gc
import json
import os
import socket
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
from devices.mqtt.questions import ASSISTANT, DEVICE, MqttQuestion, foveal_device
from stream.clock import NS_PER_MS, MonotonicClock
from stream.errors import ConfigError, PromptError
from tests.devices.mqtt.broker import PASSWORD, USER, Mosquitto

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
        return MqttBridge(device, broker, clock, handlers, options, "1", lambda: self.reading)


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


async def test_a_device_is_announced_told_and_says_goodbye(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    async with listening(mosquitto.port) as listener:
        async with running(assistant.bridge(Broker("127.0.0.1", mosquitto.port))) as bridge:
            bridge.publish(DEVICE, "camera", True)
            await until(lambda: bridge.stats().connected and bool(listener.all("device/dropped")))
            await until(lambda: bool(listener.all("device/camera")))
        await until(lambda: listener.all("$state")[-1:] == ["disconnected"])
        assert listener.all("$state") == ["init", "ready", "disconnected"]
        described = json.loads(listener.all("$description")[0])
        assert described["homie"] == "5.0"
        assert described["nodes"]["settings"]["properties"]["level"]["format"] == "0:10:2"
        assert listener.all("device/battery") == ["80"]
        assert listener.all("device/temperature") == ["41.5"]
        config = dict(listener.heard)["homeassistant/device/glasses/config"]
        assert json.loads(config)["components"]["settings-speech"]["platform"] == "switch"
    async with listening(mosquitto.port) as late:  # retained, for who comes later
        await until(lambda: late.all("device/camera") == ["true"])
        assert late.all("$state") == ["disconnected"]


async def test_questions_are_answered_with_their_id(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    async with (
        listening(mosquitto.port) as listener,
        running(assistant.bridge(Broker("127.0.0.1", mosquitto.port))) as bridge,
    ):
        await until(lambda: bridge.stats().connected)
        await listener.send("assistant/ask/set", "what is this?")
        await until(lambda: len(listener.answers()) == 1)
        pointed = '{"text": "and this?", "id": "q2", "point": [0.5, 0.25]}'
        await listener.send("assistant/ask/set", pointed)
        await until(lambda: len(listener.answers()) == 2)
        assert listener.answers() == [
            {"id": "", "question": "what is this?", "text": "WHAT IS THIS?"},
            {"id": "q2", "question": "and this?", "text": "AND THIS?"},
        ]
        assert assistant.asked[1].point == (0.5, 0.25)
        await until(lambda: listener.all("assistant/busy")[-1:] == ["false"])
        assert "true" in listener.all("assistant/busy")
    async with listening(mosquitto.port) as late:
        await until(lambda: bool(late.all("assistant/recent")))
        recent = json.loads(late.all("assistant/recent")[0])
        assert [one["text"] for one in recent] == ["WHAT IS THIS?", "AND THIS?"]


async def test_what_cannot_be_answered_is_refused_with_the_reason(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    async with (
        listening(mosquitto.port) as listener,
        running(assistant.bridge(Broker("127.0.0.1", mosquitto.port))) as bridge,
    ):
        await until(lambda: bridge.stats().connected)
        for payload in (b"\xff\xfe", b"{", b"refuse", b"fail", b'{"text": "x", "admin": 1}'):
            seen = len(listener.answers())
            await listener.send("assistant/ask/set", payload)
            await until(lambda count=seen: len(listener.answers()) > count)  # type: ignore[misc]
        errors = [answer["error"] for answer in listener.answers()]
        assert "UTF-8" in errors[0] and "JSON" in errors[1]
        assert errors[2] == "nobody is connected"
        assert "secret" not in errors[3]
        assert "admin" in errors[4]
        assistant.gate.clear()  # more questions than may wait
        for number in range(FAST.waiting_questions + 1):
            await listener.send("assistant/ask/set", f"question {number}")
        await until(lambda: "wait already" in listener.answers()[-1].get("error", ""))
        assistant.gate.set()
        await until(lambda: listener.answers()[-1]["text"] == "QUESTION 3")
        assert bridge.stats().refused == 6


async def test_settings_follow_commands_and_nothing_else(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    async with listening(mosquitto.port) as listener:
        await listener.send("settings/speech/set", "false", retain=True)  # waits for the device
        async with running(assistant.bridge(Broker("127.0.0.1", mosquitto.port))) as bridge:
            await until(lambda: bridge.stats().connected)
            await until(lambda: "retained" in str(listener.all("$log/warn")))
            await listener.send("settings/level/set", "5")  # rounded to the step
            await until(lambda: listener.all("settings/level") == ["6"])
            for topic, payload in (
                ("settings/level/set", "11"),
                ("settings/level/set", "10"),
                ("settings/speech/set", "yes"),
                ("settings/none/set", "1"),
                ("device/battery/set", "1"),
                ("settings/speech/set", ""),
            ):
                before = bridge.stats().refused
                await listener.send(topic, payload)
                await until(lambda count=before: bridge.stats().refused > count)  # type: ignore[misc]
            assert assistant.settings == {"level": 6}
            await listener.send("settings/speech/set", "true")
            await until(lambda: listener.all("settings/speech") == ["true"])
            await listener.send("settings/level/set", "x" * 20_000)  # the broker keeps it back
            await listener.send("settings/level/set", "4")
            await until(lambda: listener.all("settings/level")[-1] == "4")
            assert bridge.stats().connects == 1


async def test_alerts_start_end_and_those_of_an_earlier_run_are_cleared(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    assistant.reading = PowerReading(9, False, 91.0)
    async with listening(mosquitto.port) as listener:
        await listener.send("$alert/old", "left behind", retain=True)
        async with running(assistant.bridge(Broker("127.0.0.1", mosquitto.port))) as bridge:
            await until(lambda: listener.all("$alert/battery-low") == ["Battery at 9 %"])
            await until(lambda: listener.all("$alert/hot") == ["Device at 91 °C"])
            await until(lambda: listener.all("$alert/old")[-1:] == [""])
            bridge.alert("battery-low", None)
            await until(lambda: listener.all("$alert/battery-low")[-1] == "")
    async with listening(mosquitto.port) as late:
        await until(lambda: bool(late.all("$alert/hot")))
        assert not late.all("$alert/old") and not late.all("$alert/battery-low")


async def test_answers_survive_a_broker_that_is_killed_and_started_again(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    async with running(assistant.bridge(Broker("127.0.0.1", mosquitto.port))) as bridge:
        async with listening(mosquitto.port) as listener:
            await until(lambda: bridge.stats().connected)
            assistant.gate.clear()
            for number in range(3):
                await listener.send("assistant/ask/set", json.dumps({"text": f"number {number}"}))
            await until(lambda: len(assistant.asked) == 3)
        await mosquitto.kill()
        await until(lambda: not bridge.stats().connected)
        assistant.gate.set()  # the answers come while nobody can hear them
        for level in range(40):  # and values enough to fill the outbox twice
            bridge.alert(f"a{level}", "too many")
        await until(lambda: bridge.stats().waiting == FAST.outbox)
        assert bridge.stats().dropped["overflow"] > 0
        await mosquitto.start()
        async with listening(mosquitto.port) as listener:
            await until(lambda: bool(listener.all("assistant/recent")))
            recent = json.loads(listener.all("assistant/recent")[-1])
            assert {one["text"] for one in recent} == {f"NUMBER {number}" for number in range(3)}
            await until(lambda: bridge.stats().waiting == 0)
            await until(lambda: bool(listener.all("$state")))
            assert listener.all("$state")[-1] == "ready"
            await until(lambda: len([t for t, _ in listener.heard if "/$alert/" in t]) >= 40)
        assert bridge.stats().connects == 2
        await until(lambda: bridge.stats().published >= 3)  # acknowledged after it was heard


async def test_a_device_that_dies_is_told_to_be_lost(
    mosquitto: Mosquitto, assistant: Assistant
) -> None:
    async with listening(mosquitto.port) as listener:
        task = asyncio.create_task(
            (bridge := assistant.bridge(Broker("127.0.0.1", mosquitto.port))).run()
        )
        await until(lambda: bridge.stats().connected)
        await until(lambda: listener.all("$state")[-1:] == ["ready"])
        # The socket goes without a word, as when the power does.
        rival = aiomqtt.Client("127.0.0.1", mosquitto.port, identifier="homie-glasses")
        async with rival:
            await until(lambda: listener.all("$state")[-1] == "lost")
        await until(lambda: bridge.stats().connects >= 2)
        await until(lambda: listener.all("$state")[-1] == "ready")
        await bridge.close(task)


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
