"""The connection to a broker: made, greeted, lost, made again. What it carries is its owner's."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from devices.mqtt.aiomqtt_compat import release
from devices.mqtt.options import Backoff, BridgeOptions, Broker
from devices.mqtt.outbox import MqttMessage, Outbox
from stream.clock import Clock

logger = logging.getLogger(__name__)

MAX_PACKET = 16 * 1024  # bytes; the broker is told not to send larger ones
MAX_QUEUED = 64  # incoming messages that wait to be read


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


class BrokerLink:
    """Keeps one connection up and empties the outbox into it."""

    def __init__(
        self, broker: Broker, options: BridgeOptions, clock: Clock, outbox: Outbox, script: Script
    ) -> None:
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
        async def sleep() -> None:
            await self._clock.sleep_until(deadline_ns)

        await _first(asyncio.create_task(sleep()), asyncio.create_task(self._closed()))

    async def _closed(self) -> None:
        await self._closing.wait()

    async def _connect(self) -> None:
        """One connection, from greeting to its end."""
        client = self._client()
        try:
            async with client:
                await self._greet(client)
                self.connected = True
                self.connects += 1
                logger.info("connected to %s", self._broker)
                await _first(
                    asyncio.create_task(self._receive(client)),
                    asyncio.create_task(self._send(client)),
                )
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
            await _tell(client, message)
        for topic in self._script.subscriptions:
            await client.subscribe(topic, qos=2)
        await _tell(client, self._script.ready)

    async def _send(self, client: aiomqtt.Client) -> None:
        """Empty the outbox, a message at a time; each stays ours until it is acknowledged."""
        while True:
            message = await self._outbox.take()
            try:
                await _tell(client, message)
            except BaseException:
                self._outbox.give_back(message)
                raise
            self.published += 1
            if message is self._script.goodbye:
                return

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self._script.receive(str(message.topic), payload, bool(message.retain))


async def _tell(client: aiomqtt.Client, message: MqttMessage) -> None:
    await client.publish(message.topic, message.payload, message.qos, retain=message.retain)


async def _first(*tasks: asyncio.Task[None]) -> None:
    """Wait until one of the tasks ends and end the others; raises what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
