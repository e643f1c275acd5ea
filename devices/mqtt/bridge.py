"""One device on one MQTT broker: announced, kept up to date, commanded.

The link may break at any time. What is worth telling waits in a bounded outbox; values are told
anew at every connection, answers are kept until the broker has acknowledged them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devices.board.power import PowerReading, power_alerts, read_power
from devices.mqtt.home_assistant import discovery_payload, discovery_topic
from devices.mqtt.homie import (
    HomieDevice,
    HomieTopics,
    HomieValue,
    State,
    description,
    format_value,
    parse_value,
)
from devices.mqtt.link import BrokerLink, MqttMessage, Outbox, Script, first
from devices.mqtt.options import BridgeOptions, Broker
from devices.mqtt.questions import (
    ASSISTANT,
    DEVICE,
    SETTINGS,
    MqttQuestion,
    answer_payload,
    parse_question,
    readable_parts,
    refusal_payload,
)
from stream.clock import NS_PER_S, Clock
from stream.errors import ConfigError, FovealError, PromptError
from stream.outgoing import OutgoingLog

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handlers:
    """Who answers, and who applies settings. Both run on the event loop.

    `ask` returns what JSON can hold, `text` and `session` among it, or raises PromptError with the
    reason. `set` takes a setting's id and value, returns the value now in force, or raises
    ConfigError.
    """

    ask: Callable[[MqttQuestion], Awaitable[Mapping[str, Any]]]
    set: Callable[[str, HomieValue], HomieValue]


@dataclass(frozen=True, slots=True)
class BridgeStats:
    """The bridge's numbers at one moment."""

    connected: bool
    attempts: int
    connects: int  # attempts that came to `ready`
    published: int  # from the outbox; greetings are not counted
    refused: int  # commands that were not followed
    waiting: int  # messages in the outbox
    dropped: dict[str, int] = field(default_factory=dict)  # cause -> messages
    last_error: str = ""  # why the last connection ended or did not come about


class MqttBridge:
    """Make it on the event loop, `run` it in a task, `close` it at the end."""

    def __init__(
        self,
        device: HomieDevice,
        broker: Broker,
        clock: Clock,
        handlers: Handlers,
        options: BridgeOptions | None = None,
        version: str = "",
        read: Callable[[], PowerReading] = read_power,
        log: OutgoingLog | None = None,
    ) -> None:
        self._device, self._clock, self._handlers = device, clock, handlers
        self._options = options or BridgeOptions()
        self._version, self._read = version, read
        self._topics = HomieTopics(device.id, self._options.base)
        self._outbox = Outbox(self._options.outbox)
        self._values: dict[str, str] = {}  # topic -> the retained payload
        # (session, payload) of the latest answers; the last one is told by itself, too.
        self._recent: deque[tuple[str, str]] = deque(maxlen=max(1, self._options.recent_answers))
        self._alerts: set[str] = set()
        self._questions: set[asyncio.Task[None]] = set()
        self._refused = 0
        self._ended = False
        script = Script(
            f"{self._options.base}-{device.id}",
            self._state("lost"),
            self._greeting,
            (self._topics.alerts, self._topics.commands),
            self._state("ready"),
            self._state("disconnected"),
            self._receive,
        )
        self._link = BrokerLink(broker, self._options, clock, self._outbox, script, log)

    def stats(self) -> BridgeStats:
        """The numbers so far."""
        return BridgeStats(
            self._link.connected,
            self._link.attempts,
            self._link.connects,
            self._link.published,
            self._refused,
            len(self._outbox),
            dict(self._outbox.dropped),
            self._link.last_error,
        )

    def publish(self, node_id: str, property_id: str, value: HomieValue) -> None:
        """Tell a property's value, now or at the next connection; an unchanged one is not told.

        Raises ConfigError for an unknown property or a value that is not of its type.
        """
        one = self._device.find(node_id, property_id)
        if one is None:
            raise ConfigError(f"expected a property of the device, got {node_id}/{property_id}")
        self._retain(self._topics.value(node_id, property_id), format_value(one, value))

    def alert(self, alert_id: str, text: str | None) -> None:
        """Raise an alert, or end it with None."""
        topic = self._topics.alert(alert_id)
        if text is not None:
            self._alerts.add(alert_id)
            self._retain(topic, text)
        elif alert_id in self._alerts:
            self._alerts.discard(alert_id)
            self._values.pop(topic, None)
            self._outbox.put(MqttMessage(topic, ""))

    def forget(self, session: str) -> None:
        """Take back what is retained of a session's answers, also from a broker that is away."""
        kept = [(one, payload) for one, payload in self._recent if one != session]
        if len(kept) == len(self._recent):
            return
        if self._recent[-1][0] == session:
            self._retain(self._topics.value(ASSISTANT, "answer"), "")
        self._recent.clear()
        self._recent.extend(kept)
        self._tell_recent()

    async def run(self) -> None:
        """Stay connected until `close`; a link that breaks is made again after a growing pause."""
        try:
            await first(self._link.run(), self._report())
        finally:
            self._ended = True
            for task in self._questions:
                task.cancel()
            await asyncio.gather(*self._questions, return_exceptions=True)
            self._outbox.close()

    async def close(self, running: asyncio.Task[None]) -> None:
        """Send what waits, say goodbye and end `running`, the task of `run`, within `flush_ns`."""
        self._link.close()
        await asyncio.wait({running}, timeout=self._options.flush_ns / NS_PER_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def _state(self, state: State) -> MqttMessage:
        return MqttMessage(self._topics.state, state)

    def _greeting(self) -> list[MqttMessage]:
        """Homie's order: init, description, values; then the link subscribes and says ready."""
        said = [
            self._state("init"),
            MqttMessage(self._topics.description, description(self._device)),
        ]
        if self._options.discovery_prefix:
            topic = discovery_topic(self._device, self._options.discovery_prefix)
            payload = discovery_payload(self._device, self._topics, self._version)
            said.append(MqttMessage(topic, payload))
        return said + [
            MqttMessage(topic, payload)
            for topic, payload in self._values.items()
            if not self._outbox.waits(topic)
        ]

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message from the network: followed, or refused with the reason."""
        if topic.startswith(f"{self._topics.root}/$alert/"):
            if payload and topic not in self._values:  # an earlier run left it behind
                self._outbox.put(MqttMessage(topic, ""))
            return
        target = self._topics.command(topic)
        one = self._device.find(*target) if target is not None else None
        if target is None or one is None or not one.settable:
            self._refuse(f"no settable property at {topic[:80]!r}")
        elif retained:
            # It would be followed again at every connection.
            self._refuse(f"a retained command on {one.id}: send commands unretained")
        elif target == (ASSISTANT, "ask"):
            self._ask(payload)
        elif target[0] == SETTINGS:
            try:
                value = self._handlers.set(one.id, parse_value(one, payload))
                self.publish(SETTINGS, one.id, value)
            except FovealError as error:
                self._refuse(str(error))

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        self._outbox.put(MqttMessage(self._topics.log("warn"), f"refused: {reason}", False, 0))

    def _ask(self, payload: bytes) -> None:
        try:
            ask = parse_question(payload)
        except PromptError as error:
            self._refuse_ask(readable_parts(payload), str(error))
            return
        waiting = len(self._questions)
        if waiting >= self._options.waiting_questions:
            self._refuse_ask(ask, f"{waiting} questions wait already; ask again later")
            return
        task = asyncio.create_task(self._answer(ask))
        self._questions.add(task)
        task.add_done_callback(self._answered)
        self.publish(ASSISTANT, "busy", True)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._questions.discard(task)
        if not self._ended:
            self.publish(ASSISTANT, "busy", bool(self._questions))

    def _refuse_ask(self, ask: MqttQuestion, reason: str) -> None:
        """Not retained: the last answer stays where it is."""
        self._refused += 1
        topic = self._topics.value(ASSISTANT, "answer")
        self._outbox.put(MqttMessage(topic, refusal_payload(ask, reason), retain=False, qos=1))

    async def _answer(self, ask: MqttQuestion) -> None:
        try:
            answer = await self._handlers.ask(ask)
            payload = answer_payload(ask, answer)
        except PromptError as error:
            self._refuse_ask(ask, str(error))
        except Exception:  # whatever the assistant does, the bridge goes on
            logger.exception("a question over MQTT failed")
            self._refuse_ask(ask, "answering failed; see the log of the device")
        else:
            self._keep(payload, str(answer.get("session", "")))

    def _keep(self, payload: str, session: str) -> None:
        """Tell an answer; it stays retained, and among the recent ones for who was away."""
        topic = self._topics.value(ASSISTANT, "answer")
        self._values[topic] = payload
        self._outbox.put(MqttMessage(topic, payload, every=True))
        self._recent.append((session, payload))
        self._tell_recent()

    def _tell_recent(self) -> None:
        if self._options.recent_answers:
            text = ",".join(payload for _, payload in self._recent)
            self._retain(self._topics.value(ASSISTANT, "recent"), f"[{text}]")

    def _retain(self, topic: str, payload: str) -> None:
        if self._values.get(topic) != payload:
            self._values[topic] = payload
            self._outbox.put(MqttMessage(topic, payload))

    async def _report(self) -> None:
        """Battery, temperature and drops, every so often."""
        while True:
            reading = await asyncio.to_thread(self._read)
            for name in ("battery", "charging", "temperature"):
                value = getattr(reading, name)
                if value is not None:
                    self.publish(DEVICE, name, value)
            alerts = power_alerts(reading, frozenset(self._alerts))
            for name in ("battery-low", "hot"):
                self.alert(name, alerts.get(name))
            self.publish(DEVICE, "dropped", sum(self._outbox.dropped.values()))
            await self._clock.sleep_until(self._clock.now_ns() + self._options.report_ns)
