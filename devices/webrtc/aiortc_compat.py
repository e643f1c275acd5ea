"""The private names of aiortc and aioice, all that are used: no other module touches one.

pyproject.toml holds both to WRITTEN_FOR, and a test tells what to do where others are installed.
"""

import asyncio
import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.rtp import RtcpByePacket, RtcpSrPacket

from devices.webrtc.assembler import RtpPacket

WRITTEN_FOR = {"aiortc": ("1.16", "1.17"), "aioice": ("0.13", "0.14")}  # from, below

CREATE_TRANSCEIVER = "_RTCPeerConnection__createTransceiver"
TRANSCEIVER_RECEIVER = "_RTCRtpTransceiver__receiver"
JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
ICE_SOCKETS = "aioice.ice"  # the module whose datagram sockets are ICE's own
MONITOR = "_RTCIceTransport__monitor_task"  # tells the transport when its connection has closed

T = TypeVar("T")
logger = logging.getLogger(__name__)


class _Tap:
    """Stands where aiortc has its jitter buffer; aiortc never sees a complete frame."""

    def __init__(self, receiver: "PacketReceiver") -> None:
        self._receiver = receiver

    def add(self, packet: Any) -> tuple[bool, None]:
        return self._receiver.take_packet(packet), None


class PacketReceiver(RTCRtpReceiver):  # type: ignore[misc]  # aiortc is untyped here
    """aiortc's receiver without its way from packet to picture or sound: its heirs have their own.

    RTCP reports, retransmission (RTX), the first NACK and bandwidth estimation stay aiortc's; its
    own decoder thread only waits for the end of the track.
    """

    def __init__(self, kind: str, transport: Any) -> None:
        super().__init__(kind, transport)
        setattr(self, JITTER_BUFFER, _Tap(self))

    def take_packet(self, packet: Any) -> bool:
        """One depacketised RTP packet; True when a keyframe should be asked for."""
        raise NotImplementedError

    def take_report(self, report: RtcpSrPacket) -> None:
        """A sender report."""

    def end(self) -> None:
        """The sender said goodbye, or its connection has ended."""

    def hand_on(self, frame: Any) -> None:
        """Give a decoded frame to whoever reads the track; where nobody does, the oldest goes."""
        queue = self._track._queue
        if isinstance(queue, DropOldestQueue):
            queue.put_dropping(frame)

    async def ask_for_keyframe(self, ssrc: int) -> None:
        """Picture Loss Indication (RFC 4585)."""
        await self._send_rtcp_pli(ssrc)

    async def ask_again(self, ssrc: int, missing: list[int]) -> None:
        """Generic NACK (RFC 4585) for sequence numbers."""
        await self._send_rtcp_nack(ssrc, missing)

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            self.take_report(packet)
        elif isinstance(packet, RtcpByePacket):
            self.end()
        await super()._handle_rtcp_packet(packet)

    def _handle_disconnect(self) -> None:
        self.end()
        super()._handle_disconnect()


def rtp_packet(packet: Any) -> RtpPacket:
    """aiortc's packet as the assembler takes it, without the codec's descriptor."""
    marker, kind = bool(packet.marker), packet.payload_type
    return RtpPacket(packet.sequence_number, packet.timestamp, marker, kind, packet._data)


class ReceivingConnection(RTCPeerConnection):  # type: ignore[misc]  # aiortc is untyped here
    """aiortc's connection with receivers of its heir's making."""

    def make_receiver(self, kind: str, transport: Any) -> PacketReceiver:
        """What takes the place of aiortc's receiver of a kind, before that starts."""
        raise NotImplementedError

    def _RTCPeerConnection__createTransceiver(
        self, direction: str, kind: str, sender_track: Any = None
    ) -> Any:
        transceiver = getattr(super(), CREATE_TRANSCEIVER)(direction, kind, sender_track)
        stock = transceiver.receiver
        if not (hasattr(stock, JITTER_BUFFER) and hasattr(transceiver, TRANSCEIVER_RECEIVER)):
            logger.warning("this aiortc is not known: %s goes through its own receiver", kind)
            return transceiver
        receiver = self.make_receiver(kind, stock.transport)
        receiver._set_rtcp_ssrc(transceiver.sender._ssrc)
        setattr(transceiver, TRANSCEIVER_RECEIVER, receiver)
        return transceiver


class DropOldestQueue(asyncio.Queue[T]):
    """A queue whose `put` never waits: the oldest item goes."""

    dropped = 0

    async def put(self, item: T) -> None:
        """Add an item, making room first."""
        self.put_dropping(item)

    def put_dropping(self, item: T) -> None:
        """The same, at once."""
        while self.full():
            self.get_nowait()
            self.dropped += 1
        self.put_nowait(item)


def bound_track(track: Any, frames: int) -> None:
    """Let a received track keep its newest frames only: aiortc's queue grows until it is read."""
    if hasattr(track, "_queue"):
        track._queue = DropOldestQueue(maxsize=frames)


def wants_to_receive(transceiver: Any) -> bool:
    """Whether the other side's offer lets us send in this section."""
    return transceiver._offerDirection in ("sendonly", "sendrecv")


def ice_connection(shell: Any) -> Any:
    """The aioice connection within an RTCIceGatherer or RTCIceTransport."""
    return shell._connection


async def exchange_connection(transport: Any, gatherer: Any) -> None:
    """Let a running RTCIceTransport go on over the connection of another gatherer.

    DTLS waits on the old one's queue: what comes by the new path goes there too, and the end of the
    old path does not.
    """
    old, new = transport._connection, gatherer._connection
    while not new._queue.empty():
        old._queue.put_nowait(new._queue.get_nowait())
    new._queue, old._queue = old._queue, asyncio.Queue()
    transport._connection = transport.iceGatherer._connection = new
    transport._recv, transport._send = new.recv, new.send
    monitor = getattr(transport, MONITOR)
    if monitor is not None:
        monitor.cancel()
    setattr(transport, MONITOR, asyncio.ensure_future(transport._monitor()))
    await old.close()


@contextmanager
def bind_within(ports: range) -> Iterator[None]:
    """While this lasts, ICE on the running event loop binds its sockets to these ports only.

    aioice has no setting for it and asks the loop for any port (0). Its sockets are told from
    others by the module that their protocol is made in.
    """
    loop = asyncio.get_running_loop()
    stock, following = loop.create_datagram_endpoint, ports.start

    async def create(factory: Callable[[], Any], local_addr: Any = None, **others: Any) -> Any:
        nonlocal following
        if factory.__module__ != ICE_SOCKETS or local_addr is None or local_addr[1] != 0:
            return await stock(factory, local_addr=local_addr, **others)
        for _ in ports:  # in turn: a port that was just used may still get packets
            port, following = following, following + 1 if following + 1 in ports else ports.start
            try:
                return await stock(factory, local_addr=(local_addr[0], port), **others)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        logger.warning("no UDP port from %d to %d is free for a session", ports[0], ports[-1])
        raise OSError(errno.EADDRINUSE, "no free UDP port")

    name = "create_datagram_endpoint"
    setattr(loop, name, create)
    try:
        yield
    finally:
        setattr(loop, name, stock)
