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
