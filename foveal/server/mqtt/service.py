"""`foveal serve --mqtt`: the MQTT service around a live server, or nothing without a broker."""

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from devices.mqtt import questions as mqtt
from devices.mqtt.options import BridgeOptions, parse_broker
from foveal.live.engine import Engine
from foveal.live.protocol.parts import PointedQuestion
from foveal.server.app import LiveServer
from foveal.server.mqtt.bridge import Hooks, MqttService, Switch, SwitchedSpeaker
from stream.clock import Clock, MonotonicClock

# In the environment: what is on the command line others can read.
PASSWORD = "FOVEAL_MQTT_PASSWORD"  # noqa: S105 - its name


class LiveMqtt(AsyncExitStack):
    """The broker's side of a live server. Make it on the event loop; as a context it runs.

    Without `url` it does nothing. Raises ConfigError for a bad address, id or file.
    """

    def __init__(
        self,
        server: LiveServer,
        url: str | None,
        device_id: str = "foveal",
        ca_file: Path | None = None,
        options: BridgeOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._server = server
        self._voice = Switch()
        self.service: MqttService | None = None
        if url is None:
            return
        broker = parse_broker(url, os.environ.get(PASSWORD), ca_file)
        hooks = Hooks(server.watch, self._ask, server.state, self._speak, self._admit)
        version = str(server.state()["version"])
        self.service = MqttService(
            broker,
            clock or MonotonicClock(),
            hooks,
            device_id,
            options,
            version,
            server.config.outgoing,
        )

    async def __aenter__(self) -> Self:
        if self.service is not None:
            await self.enter_async_context(self.service)
        return self

    def engine(self, engine: Engine) -> Engine:
        """The engine, with a voice that the broker can switch off."""
        if self.service is None or engine.speaker is None:
            return engine
        return replace(engine, speaker=SwitchedSpeaker(engine.speaker, self._voice))

    async def _ask(self, ask: mqtt.MqttQuestion) -> Mapping[str, Any]:
        asked = PointedQuestion(text=ask.text, point=ask.point)
        return await self._server.ask(asked, ask.session or None)

    def _speak(self, on: bool) -> None:
        self._voice.on = on
        if not on:
            for room in self._server.rooms.all:
                room.live.hush()

    def _admit(self, on: bool) -> None:
        self._server.admitting = on
