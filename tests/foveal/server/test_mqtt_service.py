"""A live server over doubles, a real broker, a real WebRTC client: questions from the network."""

import asyncio
import json
from pathlib import Path

import pytest

from devices.mqtt.options import BridgeOptions
from foveal.server.app import LiveServer, ServeConfig
from foveal.server.mqtt.service import PASSWORD, LiveMqtt
from stream.clock import NS_PER_MS
from stream.errors import ConfigError, PromptError
from tests.devices.mqtt.bridge_rig import listening, until
from tests.devices.mqtt.broker import PASSWORD as SECRET
from tests.devices.mqtt.broker import USER, Mosquitto
from tests.foveal.live.live_rig import SAID, fake_engine
from tests.foveal.server.serve_rig import PeerClient, Site

FAST = BridgeOptions(first_delay_ns=20 * NS_PER_MS, most_delay_ns=60 * NS_PER_MS)


async def test_the_network_asks_what_the_wearer_sees_even_over_a_broker_that_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosquitto = Mosquitto(tmp_path, with_password=True)
    await mosquitto.start()
    monkeypatch.setenv(PASSWORD, SECRET)
    login = {"username": USER, "password": SECRET}
    url = f"mqtt://{USER}@127.0.0.1:{mosquitto.port}"
    async with Site(ServeConfig()) as site:
        live = LiveMqtt(site.server, url, "glasses", options=FAST)
        await site.server.load(lambda: live.engine(fake_engine()))
        async with live, listening(mosquitto.port, **login) as listener:
            service = live.service
            assert service is not None
            wearer = PeerClient()
            assert await wearer.connect(site) == 201
            await wearer.until("regions", 2)
            await until(lambda: listener.all("device/camera")[-1:] == ["true"])
            question = {"text": "What is this?", "id": "q1", "point": [0.25, 0.3]}
            await listener.send("assistant/ask/set", json.dumps(question))
            await until(lambda: bool(listener.answers()))
            answer = listener.answers()[0]
            assert (answer["id"], answer["text"]) == ("q1", SAID)
            assert answer["spans"] and answer["searches"]
            assert (await wearer.until("end"))["text"] == SAID  # the wearer hears it as well
            wearer.say("device", battery=0.5, thermal="fair")
            await until(lambda: listener.all("glasses/battery") == ["50"])

            await wearer.until("speech")
            await listener.send("settings/speech/set", "false")
            await until(lambda: listener.all("settings/speech")[-1] == "false")
            spoken = len(wearer.of("speech"))
            await listener.send("assistant/ask/set", "And that?")
            await until(lambda: len(listener.answers()) == 2)
            assert (await wearer.until("end", 2))["text"]
            assert len(wearer.of("speech")) == spoken

            await listener.send("settings/admit/set", "false")
            await until(lambda: not site.server.admitting)
            assert await PeerClient().connect(site) == 503
            ready = await site.http.get("/ready")
            assert ready.status == 503

            await mosquitto.kill()
            await until(lambda: not service.stats().connected)
            await mosquitto.start()
            async with listening(mosquitto.port, **login) as later:
                await until(lambda: bool(later.all("assistant/recent")))
                recent = json.loads(later.all("assistant/recent")[0])
                assert [one["id"] for one in recent] == ["q1", ""]
                await until(lambda: later.all("settings/admit")[-1:] == ["false"])
            await wearer.close()
    await mosquitto.kill()


async def test_the_network_asks_only_the_session_that_it_names() -> None:
    async with Site(ServeConfig()) as site:
        first, second = PeerClient(), PeerClient()
        names = []
        for wearer in (first, second):
            assert await wearer.connect(site) == 201
            names.append((await wearer.until("hello"))["conversation"])
            await wearer.until("regions", 2)
        with pytest.raises(PromptError, match="2 have a camera; name one"):
            await site.server.ask("What is this?")
        with pytest.raises(PromptError, match="expected a session"):
            await site.server.ask("What is this?", "nobody")
        end = await site.server.ask("What is this?", names[1])
        assert (end["session"], end["text"]) == (names[1], SAID)
        assert not first.of("asked") and len(second.of("asked")) == 1
        for wearer in (first, second):
            await wearer.close()


async def test_what_a_wearer_has_forgotten_is_retained_by_no_broker(tmp_path: Path) -> None:
    mosquitto = Mosquitto(tmp_path)
    await mosquitto.start()
    async with Site(ServeConfig()) as site:
        live = LiveMqtt(site.server, f"mqtt://127.0.0.1:{mosquitto.port}", "glasses", options=FAST)
        async with live, listening(mosquitto.port) as listener:
            wearer, other = PeerClient(), PeerClient()
            names = []
            for one in (wearer, other):
                await one.connect(site)
                names.append((await one.until("hello"))["conversation"])
                await one.until("regions", 2)
            for name in (*names, names[0]):
                question = {"text": "What is this?", "session": name}
                await listener.send("assistant/ask/set", json.dumps(question))
                count = len(listener.answers())
                await until(lambda count=count: len(listener.answers()) > count)  # type: ignore[misc]
            wearer.say("forget")
            await wearer.until("forgot")
            await until(lambda: listener.all("assistant/answer")[-1] == "")
            await until(lambda: len(json.loads(listener.all("assistant/recent")[-1])) == 1)
            async with listening(mosquitto.port) as stranger:
                await until(lambda: bool(stranger.all("assistant/recent")))
                (kept,) = json.loads(stranger.all("assistant/recent")[0])
                assert kept["session"] == names[1]
                assert not stranger.all("assistant/answer")
            for one in (wearer, other):
                await one.close()
    await mosquitto.kill()


async def test_a_session_that_ends_tells_who_asked() -> None:
    async with Site(ServeConfig()) as site:
        wearer = PeerClient()
        await wearer.connect(site)
        await wearer.until("regions", 2)
        room = site.server.rooms.all[0]
        room.live.ask = lambda *_: 99  # type: ignore[method-assign]  # an answer that never comes
        asking = asyncio.create_task(site.server.ask("What is this?"))
        await asyncio.sleep(0.05)
        await room.close("the battery is empty")
        with pytest.raises(PromptError, match="the battery is empty"):
            await asking
        await wearer.close()


async def test_without_a_broker_nothing_changes() -> None:
    server = LiveServer(ServeConfig())
    engine = fake_engine()
    async with LiveMqtt(server, None) as live:
        assert live.service is None and live.engine(engine) is engine
    with pytest.raises(ConfigError, match="mqtt"):
        LiveMqtt(server, "http://broker")
    with pytest.raises(ConfigError, match="a-z"):
        LiveMqtt(server, "mqtt://broker", "My Glasses")
