"""A live server on a broker: questions, settings, state, what the glasses say of themselves."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest_asyncio

from devices.audio.pcm import Pcm
from devices.mqtt import questions as mqtt
from devices.mqtt.options import Broker
from foveal.server.mqtt.bridge import (
    ADMIT,
    FAILING,
    SPEECH,
    Hooks,
    MqttService,
    Switch,
    SwitchedSpeaker,
    Watcher,
)
from stream.clock import MonotonicClock
from stream.errors import PromptError
from tests.devices.mqtt.bridge_rig import Listener, listening, until
from tests.devices.mqtt.broker import Mosquitto


class Server:
    """Stands for a live server: answers, and notes what it is told."""

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self.asked: list[mqtt.MqttQuestion] = []
        self.switched: list[tuple[str, bool]] = []
        self.live = {"sessions": 0, "camera": False, "status": "ready"}

    def hooks(self) -> Hooks:
        return Hooks(
            self.watch,
            self.ask,
            lambda: self.live,
            lambda on: self.switched.append((SPEECH, on)),
            lambda on: self.switched.append((ADMIT, on)),
        )

    def watch(self, watcher: Watcher) -> Any:
        self.watchers.append(watcher)
        return lambda: self.watchers.remove(watcher)

    async def ask(self, ask: mqtt.MqttQuestion) -> Mapping[str, Any]:
        if not self.live["camera"]:
            raise PromptError("expected a session with a camera")
        self.asked.append(ask)
        return {"turn": 1, "text": "A cup.", "sequence": "<s>", "searches": [], "model": "m"}

    def tell(self, kind: str, **data: Any) -> None:
        for watcher in self.watchers:
            watcher("a session", kind, data)


@pytest_asyncio.fixture
async def linked(tmp_path: Path) -> AsyncIterator[tuple[Server, Listener]]:
    mosquitto, server = Mosquitto(tmp_path), Server()
    await mosquitto.start()
    broker = Broker("127.0.0.1", mosquitto.port)
    async with listening(mosquitto.port) as listener:
        async with MqttService(broker, MonotonicClock(), server.hooks(), "glasses") as service:
            await until(lambda: service.stats().connected)
            yield server, listener
        await until(lambda: listener.all("$state")[-1:] == ["disconnected"])
        assert listener.all("device/camera")[-1] == "false"
        assert not server.watchers
    await mosquitto.kill()


async def test_a_question_of_the_network_is_answered_by_the_live_session(
    linked: tuple[Server, Listener],
) -> None:
    server, listener = linked
    await until(lambda: listener.all("device/sessions") == ["0"])
    await listener.send("assistant/ask/set", "anybody?")
    await until(lambda: bool(listener.answers()))
    assert "camera" in listener.answers()[0]["error"]
    server.live = {"sessions": 1, "camera": True}
    await until(lambda: listener.all("device/camera")[-1] == "true")
    assert listener.all("device/sessions")[-1] == "1"
    question = {"text": "what is this?", "id": "7", "point": [0.5, 0.5]}
    await listener.send("assistant/ask/set", json.dumps(question))
    await until(lambda: len(listener.answers()) == 2)
    assert server.asked == [mqtt.MqttQuestion("what is this?", "7", (0.5, 0.5))]
    answer = listener.answers()[1]
    assert (answer["id"], answer["text"], answer["model"]) == ("7", "A cup.", "m")
    assert "sequence" not in answer


async def test_settings_reach_the_server(linked: tuple[Server, Listener]) -> None:
    server, listener = linked
    for name, payload in ((SPEECH, "false"), (ADMIT, "false"), (SPEECH, "true")):
        await listener.send(f"settings/{name}/set", payload)
        await until(lambda one=name, want=payload: listener.all(f"settings/{one}")[-1:] == [want])  # type: ignore[misc]
    assert server.switched == [(SPEECH, False), (ADMIT, False), (SPEECH, True)]


async def test_what_the_glasses_say_is_told_and_raises_alerts(
    linked: tuple[Server, Listener],
) -> None:
    server, listener = linked
    server.tell("device", battery=0.14, charging=False, thermal="serious", network="wifi")
    await until(lambda: listener.all("glasses/battery") == ["14"])
    await until(lambda: listener.all("$alert/glasses-hot")[-1:] != [])
    assert "14 %" in listener.all("$alert/glasses-battery-low")[-1]
    server.tell("device", battery=0.18, thermal="nominal")  # not yet enough
    await until(lambda: listener.all("$alert/glasses-hot")[-1] == "")
    assert "18 %" in listener.all("$alert/glasses-battery-low")[-1]
    server.tell("device", battery=0.5)
    await until(lambda: listener.all("$alert/glasses-battery-low")[-1] == "")
    server.tell("device", thermal="boiling", network="carrier pigeon")
    server.tell("refused", cause="internal", reason="RuntimeError")
    await until(lambda: listener.all(f"$alert/{FAILING}") == ["RuntimeError"])
    server.tell("end", turn=1, text="")
    await until(lambda: listener.all(f"$alert/{FAILING}")[-1] == "")
    assert listener.all("glasses/thermal")[-1] == "nominal"


async def test_a_standing_question_that_came_true_is_an_alert(
    linked: tuple[Server, Listener],
) -> None:
    server, listener = linked
    server.tell("alert", id=7, text="I see a cup, on the left.")
    await until(lambda: listener.all("$alert/watch-7") == ["I see a cup, on the left."])


class Voice:
    name, sample_rate = "test", 16_000

    def synthesize(self, text: str) -> Iterator[Pcm]:
        for _ in text.split():
            yield np.ones(4, np.int16)


def test_a_voice_that_is_switched_off_is_silent_at_once() -> None:
    switch = Switch()
    speaker = SwitchedSpeaker(Voice(), switch)
    assert len(list(speaker.synthesize("one two three"))) == 3
    chunks = speaker.synthesize("one two three")
    next(chunks)
    switch.on = False
    assert list(chunks) == []
    assert list(speaker.synthesize("one")) == []
