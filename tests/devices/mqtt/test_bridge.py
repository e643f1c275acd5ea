"""One device on one real broker: announced, asked, set, lost and found again."""

import asyncio
import json

import aiomqtt

from devices.board.power import PowerReading
from devices.mqtt.options import Broker
from devices.mqtt.questions import DEVICE
from tests.devices.mqtt.bridge_rig import (
    FAST,
    Assistant,
    assistant,
    listening,
    mosquitto,
    running,
    until,
)
from tests.devices.mqtt.broker import Mosquitto

__all__ = ["assistant", "mosquitto"]


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
        await until(lambda: any("WHAT IS THIS?" in sent.words for sent in assistant.log.recent))
        assert {(sent.seam, sent.server) for sent in assistant.log.recent} == {
            ("mqtt", f"127.0.0.1:{mosquitto.port}")
        }
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
        for payload in (
            b"\xff\xfe",
            b"{",
            b"refuse",
            b"fail",
            b'{"text": "x", "id": "7", "no": 1}',
        ):
            seen = len(listener.answers())
            await listener.send("assistant/ask/set", payload)
            await until(lambda count=seen: len(listener.answers()) > count)  # type: ignore[misc]
        errors = [answer["error"] for answer in listener.answers()]
        assert "UTF-8" in errors[0] and "JSON" in errors[1]
        assert errors[2] == "nobody is connected"
        assert "secret" not in errors[3]
        assert "'no'" in errors[4]
        assert [answer["id"] for answer in listener.answers()] == ["", "", "", "", "7"]
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
