"""The live server on an MQTT broker: its state and alerts out, questions and settings in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from devices.audio.pcm import Pcm
from devices.mqtt import questions as mqtt
from devices.mqtt.bridge import BridgeStats, Handlers, MqttBridge
from devices.mqtt.homie import HomieProperty, HomieValue
from devices.mqtt.options import BridgeOptions, Broker
from devices.mqtt.questions import MqttQuestion
from devices.speaking.speaker import Speaker
from stream.clock import NS_PER_S, Clock
from stream.outgoing import OutgoingLog

SPEECH, ADMIT = "speech", "admit"
SETTINGS = (
    HomieProperty(SPEECH, "Speak answers", "boolean", settable=True),
    HomieProperty(ADMIT, "Take new sessions", "boolean", settable=True),
)
FAILING = "models-failing"  # a frame that the models could not take, until the next answer
GLASSES_LOW, GLASSES_FINE = 0.15, 0.20  # share of the battery: an alert starts, and ends
POLL_NS = NS_PER_S
ALERT_NS = 300 * NS_PER_S  # for so long a standing question that came true is an alert
# Of an `end` message.
TOLD = ("session", "text", "cut", "spans", "searches", "model", "timings_ms", "age_ms")

Watcher = Callable[[str, str, dict[str, Any]], None]  # session, type, data


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the bridge needs of a live server; all on the event loop."""

    watch: Callable[[Watcher], Callable[[], None]]  # every message; returns how to stop
    ask: Callable[[MqttQuestion], Awaitable[Mapping[str, Any]]]  # an `end` message, or PromptError
    state: Callable[[], Mapping[str, Any]]  # with `sessions` and `camera`
    speak: Callable[[bool], None]
    admit: Callable[[bool], None]


@dataclass(slots=True)
class Switch:
    """On or off; shared by the event loop and the thread that speaks."""

    on: bool = True


class SwitchedSpeaker:
    """A voice that is silent while its switch is off."""

    def __init__(self, speaker: Speaker, switch: Switch) -> None:
        self._speaker, self._switch = speaker, switch
        self.name, self.sample_rate = speaker.name, speaker.sample_rate

    def synthesize(self, text: str) -> Iterator[Pcm]:
        """As the voice does; nothing while it is off."""
        for chunk in self._speaker.synthesize(text) if self._switch.on else ():
            if not self._switch.on:
                return
            yield chunk


class MqttService:
    """The bridge of one process. Make it on the event loop; as a context manager it runs."""

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        hooks: Hooks,
        device_id: str = "foveal",
        options: BridgeOptions | None = None,
        version: str = "",
        log: OutgoingLog | None = None,
    ) -> None:
        device = mqtt.foveal_device(device_id, settings=SETTINGS)
        handlers = Handlers(self._ask, self._set)
        self._bridge = MqttBridge(device, broker, clock, handlers, options, version, log=log)
        self._hooks, self._clock = hooks, clock
        self._low = False
        self._raised: dict[str, int] = {}  # alerts of standing questions, and when they end
        self._stop: Callable[[], None] = lambda: None
        self._running: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for name in (SPEECH, ADMIT):
            self._bridge.publish(mqtt.SETTINGS, name, True)
        self._stop = self._hooks.watch(self._heard)
        self._running = asyncio.create_task(self._bridge.run())
        self._polling = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        self._tell_state({"sessions": 0, "camera": False})
        if self._running is not None:
            await self._bridge.close(self._running)

    def stats(self) -> BridgeStats:
        """The bridge's numbers."""
        return self._bridge.stats()

    async def _ask(self, ask: MqttQuestion) -> Mapping[str, Any]:
        end = await self._hooks.ask(ask)
        return {name: end[name] for name in TOLD if name in end}

    def _set(self, name: str, value: HomieValue) -> HomieValue:
        apply = {SPEECH: self._hooks.speak, ADMIT: self._hooks.admit}[name]
        apply(value is True)
        return value

    async def _poll(self) -> None:
        while True:
            self._end_alerts()
            self._tell_state(self._hooks.state())
            await self._clock.sleep_until(self._clock.now_ns() + POLL_NS)

    def _tell_state(self, state: Mapping[str, Any]) -> None:
        self._bridge.publish(mqtt.DEVICE, "sessions", int(state["sessions"]))
        self._bridge.publish(mqtt.DEVICE, "camera", bool(state["camera"]))

    def _heard(self, session: str, kind: str, data: dict[str, Any]) -> None:
        """One message of a session."""
        if kind == "forgot":
            self._bridge.forget(session)
        elif kind == "device":
            self._tell_glasses(data)
        elif kind == "refused" and data.get("cause") == "internal":
            self._bridge.alert(FAILING, str(data.get("reason") or "a frame failed"))
        elif kind == "alert":
            self._raise(f"watch-{data['id']}", str(data["text"]))
        elif kind == "end":
            self._bridge.alert(FAILING, None)

    def _raise(self, alert: str, text: str) -> None:
        """An alert that ends by itself: what was seen goes out of view unseen."""
        self._bridge.alert(alert, text)
        self._raised[alert] = self._clock.now_ns() + ALERT_NS

    def _end_alerts(self) -> None:
        for alert, until_ns in list(self._raised.items()):
            if self._clock.now_ns() >= until_ns:
                self._bridge.alert(alert, None)
                del self._raised[alert]

    def _tell_glasses(self, told: Mapping[str, Any]) -> None:
        """What the wearer's device says of itself."""
        if "battery" in told:
            share = float(told["battery"])
            self._bridge.publish(mqtt.GLASSES, "battery", round(100 * share))
            self._low = share <= (GLASSES_FINE if self._low else GLASSES_LOW)
            self._low = self._low and not told.get("charging", False)
            low = f"Battery of the glasses at {100 * share:.0f} %" if self._low else None
            self._bridge.alert("glasses-battery-low", low)
        if "charging" in told:
            self._bridge.publish(mqtt.GLASSES, "charging", told["charging"] is True)
        if told.get("thermal") in mqtt.THERMAL:
            self._bridge.publish(mqtt.GLASSES, "thermal", told["thermal"])
            hot = told["thermal"] in ("serious", "critical")
            text = f"Temperature of the glasses is {told['thermal']}"
            self._bridge.alert("glasses-hot", text if hot else None)
        if told.get("network") in mqtt.NETWORKS:
            self._bridge.publish(mqtt.GLASSES, "network", told["network"])
