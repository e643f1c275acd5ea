"""The connection to a broker: made, greeted, lost, made again; and what waits to be sent over it.

The outbox is bounded, with drops counted by cause. What it carries is its owner's.
"""

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from devices.mqtt.aiomqtt_compat import release
from devices.mqtt.options import BridgeOptions, Broker
from stream.clock import Clock
from stream.outgoing import OutgoingLog

logger = logging.getLogger(__name__)

MAX_PACKET = 16 * 1024  # bytes; the broker is told not to send larger ones
MAX_QUEUED = 64  # incoming messages that wait to be read

SUPERSEDED = "superseded"  # a newer value of the same topic took its place
OVERFLOW = "overflow"  # the outbox was full
CLOSED = "closed"  # still waiting when the bridge was closed


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """One message to publish."""

    topic: str
    payload: str
    retain: bool = True
    qos: int = 2  # Homie: 2 for what is retained, 0 for what is not
    every: bool = False  # True: each one counts (answers); False: only the newest of its topic


class Outbox:
    """First in, first out. A full outbox gives up values before answers, and oldest first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[MqttMessage] = deque()
        self._some = asyncio.Event()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, message: MqttMessage) -> None:
        """Add a message; never waits."""
        if not message.every:
            self._drop_same_topic(message.topic)
        self._items.append(message)
        self._shrink()
        self._some.set()

    async def take(self) -> MqttMessage:
        """The next message, waiting for one. Follow with `give_back` if it could not be sent."""
        while not self._items:
            self._some.clear()
            await self._some.wait()
        return self._items.popleft()

    def give_back(self, message: MqttMessage) -> None:
        """Put an unsent message back in front, unless a newer value waits already."""
        if not message.every and self.waits(message.topic):
            self.dropped[SUPERSEDED] += 1
            return
        self._items.appendleft(message)
        self._shrink()
        self._some.set()

    def waits(self, topic: str) -> bool:
        """Whether a message of that topic waits."""
        return any(one.topic == topic for one in self._items)

    def forget_values(self) -> None:
        """Remove what a fresh announcement tells anyway; answers stay."""
        self._items = deque(one for one in self._items if one.every)

    def close(self) -> None:
        """Count what waits as dropped."""
        self.dropped[CLOSED] += len(self._items)
        self._items.clear()

    def _drop_same_topic(self, topic: str) -> None:
        kept = deque(one for one in self._items if one.every or one.topic != topic)
        self.dropped[SUPERSEDED] += len(self._items) - len(kept)
        self._items = kept

    def _shrink(self) -> None:
        while len(self._items) > self._capacity:
            values = (index for index, one in enumerate(self._items) if not one.every)
            del self._items[next(values, 0)]
            self.dropped[OVERFLOW] += 1


@dataclass(frozen=True, slots=True)
class Script:
    """What is said and heard on every connection."""

    identifier: str
    will: MqttMessage  # told by the broker when the connection breaks
    greeting: Callable[[], Sequence[MqttMessage]]  # said first
    subscriptions: Sequence[str]
    ready: MqttMessage  # said once subscribed
    goodbye: MqttMessage  # said at the end
    receive: Callable[[str, bytes, bool], None]  # topic, payload, whether it was retained


class Backoff:
    """Doubling delays with jitter, so that many devices do not return in the same instant."""

    def __init__(self, first_ns: int, most_ns: int, seed: int | None = None) -> None:
        self._first_ns, self._most_ns = first_ns, most_ns
        self._attempt = 0
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret

    def next_ns(self, lasted_ns: int) -> int:
        """The next delay: between half and all of `first * 2^attempt`, at most `most`.

        `lasted_ns` is how long the lost link had been up (0: never); one that outlived the longest
        delay starts the doubling anew, a flapping one does not.
        """
        if lasted_ns > self._most_ns:
            self._attempt = 0
        full_ns = min(self._most_ns, self._first_ns << min(self._attempt, 40))
        self._attempt += 1
        return round(full_ns * self._random.uniform(0.5, 1.0))


class BrokerLink:
    """Keeps one connection up and empties the outbox into it."""

    def __init__(
        self,
        broker: Broker,
        options: BridgeOptions,
        clock: Clock,
        outbox: Outbox,
        script: Script,
        log: OutgoingLog | None = None,
    ) -> None:
        """`log` is told of every message that the broker was given."""
        self._log = log
        self._broker, self._options, self._clock = broker, options, clock
        self._outbox, self._script = outbox, script
        self._tls = broker.tls_context()
        self._closing = asyncio.Event()
        self.connected = False
        self.attempts = self.connects = self.published = 0
        self.last_error = ""  # why the last connection ended or did not come about

    def close(self) -> None:
        """Make `run` send what waits, say goodbye and return."""
        if not self._closing.is_set():
            self._closing.set()
            self._outbox.put(self._script.goodbye)

    async def run(self) -> None:
        """Connect, again and again, with growing pauses, until closed."""
        backoff = Backoff(self._options.first_delay_ns, self._options.most_delay_ns)
        while not self._closing.is_set():
            began_ns = self._clock.now_ns()
            self.attempts += 1
            try:
                await self._connect()
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                self._note(str(error) or type(error).__name__)
            was_up, self.connected = self.connected, False
            now_ns = self._clock.now_ns()
            await self._pause(now_ns + backoff.next_ns(now_ns - began_ns if was_up else 0))

    def _note(self, error: str) -> None:
        """Log a cause once, not at every attempt."""
        if error != self.last_error:
            logger.warning("%s: %s; trying again", self._broker, error)
        self.last_error = error

    async def _pause(self, deadline_ns: int) -> None:
        await first(self._clock.sleep_until(deadline_ns), self._closing.wait())

    async def _connect(self) -> None:
        """One connection, from greeting to its end."""
        client = self._client()
        try:
            async with client:
                await self._greet(client)
                self.connected = True
                self.connects += 1
                logger.info("connected to %s", self._broker)
                await first(self._receive(client), self._send(client))
        finally:
            release(client)

    def _client(self) -> aiomqtt.Client:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET
        will = self._script.will
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.username,
            password=self._broker.password,
            identifier=self._script.identifier,
            protocol=aiomqtt.ProtocolVersion.V5,
            properties=properties,
            will=aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            timeout=self._options.timeout_s,
            keepalive=self._options.keepalive_s,
            tls_context=self._tls,
            max_queued_incoming_messages=MAX_QUEUED,
        )

    async def _greet(self, client: aiomqtt.Client) -> None:
        self._outbox.forget_values()
        for message in self._script.greeting():
            await self._tell(client, message)
        for topic in self._script.subscriptions:
            await client.subscribe(topic, qos=2)
        await self._tell(client, self._script.ready)

    async def _send(self, client: aiomqtt.Client) -> None:
        """Empty the outbox, a message at a time; each stays ours until it is acknowledged."""
        while True:
            message = await self._outbox.take()
            try:
                await self._tell(client, message)
            except BaseException:
                self._outbox.give_back(message)
                raise
            self.published += 1
            if message is self._script.goodbye:
                return

    async def _tell(self, client: aiomqtt.Client, message: MqttMessage) -> None:
        await client.publish(message.topic, message.payload, message.qos, retain=message.retain)
        if self._log is not None:
            words = f"{message.topic}: {message.payload}"
            self._log.add("mqtt", f"{self._broker.host}:{self._broker.port}", words, "sent")

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self._script.receive(str(message.topic), payload, bool(message.retain))


async def first(*works: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them ends and end the others; raises what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
