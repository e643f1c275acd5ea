"""aiortc's video receiver with another way from packet to picture.

Its jitter buffer is replaced by `FrameAssembler`, its decoder by `DecodePipeline`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiortc.rtp import RtcpSrPacket

from devices.video.policy import ReceiveOptions
from devices.video.timeline import CaptureClock, RtpTimeline, ticks_to_ns
from devices.webrtc.aiortc_compat import PacketReceiver, rtp_packet
from devices.webrtc.assembler import Assembled, FrameAssembler
from devices.webrtc.decoder import DecodePipeline
from stream.clock import NS_PER_MS, Clock
from stream.errors import ChannelClosed
from stream.frame import Frame

TICK_NS = 20 * NS_PER_MS
FOREIGN = "foreign-source"  # a packet of another sender while the first one still sends
START_NS = 200 * NS_PER_MS
SSRC_SILENCE_NS = 500 * NS_PER_MS  # another source may take over after so long


@dataclass(frozen=True, slots=True)
class ReceiveStats:
    """A receiver's numbers so far."""

    packets: int
    frames: int  # complete compressed frames
    decoded: int
    delivered: int
    keyframe_requests: int
    decode_errors: int
    dropped: dict[str, int]  # frames and packets by cause


class LowLatencyReceiver(PacketReceiver):
    """Video receiver, and the FrameSource of what it receives: a frame as soon as its last packet
    has come. One consumer at a time.
    """

    def __init__(self, transport: Any, options: ReceiveOptions, clock: Clock) -> None:
        super().__init__("video", transport)
        self._options = options
        self._clock = clock
        self._assembler = FrameAssembler(options.loss_wait_ns)
        self._timeline = RtpTimeline()
        self._capture = CaptureClock()
        self._ssrc: int | None = None
        self._packet_ns = self._flow_ns = self._pli_ns = self._nack_ns = 0
        self._counts: Counter[str] = Counter()
        self._watchdog: asyncio.Task[None] | None = None
        self.pipeline = DecodePipeline(options, clock)
        self.name = "webrtc"

    async def receive(self, parameters: Any) -> None:
        """Start receiving (called by aiortc once DTLS is up)."""
        self.pipeline.start({codec.payloadType: codec for codec in parameters.codecs})
        await super().receive(parameters)
        if self._watchdog is None:
            self._watchdog = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop for good."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        await super().stop()
        await self.pipeline.aclose()

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield frames in presentation order until the track ends.

        `pts_ns` counts from the first frame received, `arrival_ns` is when its last packet came.
        Pictures may change size in mid-stream.
        """
        with suppress(ChannelClosed):
            while True:
                yield await self.pipeline.pictures.frame(self.name)

    def newer(self) -> Frame | None:
        """A frame that has come since the last one was handed out; as PictureQueue's."""
        return self.pipeline.pictures.newer(self.name)

    def capture_unix_ns(self, pts_ns: int) -> int | None:
        """Sender's wall clock when the frame at `pts_ns` was captured; None until a report."""
        return self._capture.unix_ns(pts_ns)

    def stats(self) -> ReceiveStats:
        """The numbers so far."""
        encoded, pictures = self.pipeline.stats()
        dropped = Counter(self._assembler.counts)
        dropped.update(encoded.dropped)
        dropped.update(pictures.dropped)
        dropped[FOREIGN] = self._counts[FOREIGN]
        return ReceiveStats(
            packets=self._counts["packets"],
            frames=self._counts["frames"],
            decoded=pictures.received,
            delivered=pictures.delivered,
            keyframe_requests=self._counts["plis"],
            decode_errors=self.pipeline.decode_errors,
            dropped={cause: count for cause, count in dropped.items() if count},
        )

    def take_packet(self, packet: Any) -> bool:
        """One depacketised RTP packet from aiortc; True when a keyframe should be asked for."""
        now_ns = self._clock.now_ns()
        if not self._accepts(packet.ssrc, now_ns):
            self._counts[FOREIGN] += 1
            return False
        if now_ns - self._packet_ns > self._options.stall_ns:
            self._flow_ns = now_ns  # the camera starts, or goes on after a pause
        self._packet_ns = now_ns
        self._counts["packets"] += 1
        self._pass_on(self._assembler.add(rtp_packet(packet), now_ns))
        return self._wants_keyframe(now_ns)

    def _accepts(self, ssrc: int, now_ns: int) -> bool:
        """Keep to one source; change when it has gone silent."""
        if self._ssrc == ssrc:
            return True
        if self._ssrc is not None:
            if now_ns - self._packet_ns < SSRC_SILENCE_NS:
                return False
            self._assembler.restart()
            self._timeline.restart()
            self._capture.restart()
            self.pipeline.require_keyframe()
        self._ssrc = ssrc
        # Streams start with a keyframe; give its packets time before asking for another one.
        self._pli_ns = now_ns - self._options.pli_interval_ns + START_NS
        return True

    def _pass_on(self, step: Assembled) -> None:
        if step.lost:
            self.pipeline.require_keyframe()
        if step.restarted:
            self._timeline.restart()
            self._capture.restart()
        for frame in step.frames:
            self._counts["frames"] += 1
            self.pipeline.feed(frame.at(self._timeline.map(frame.timestamp, frame.arrival_ns)))

    def _wants_keyframe(self, now_ns: int) -> bool:
        """Whether to ask now: nothing can be decoded, or nothing comes out."""
        alive_ns = max(self.pipeline.last_picture_ns, self._flow_ns)
        # A decoder that waits for a slow consumer has not stalled.
        stalled = self.pipeline.hungry and now_ns - alive_ns > self._options.stall_ns
        if not (self.pipeline.needs_keyframe or stalled):
            return False
        if now_ns - self._pli_ns < self._options.pli_interval_ns:
            return False
        self._pli_ns = now_ns
        self._counts["plis"] += 1
        return True

    async def _watch(self) -> None:
        """What must happen although no packet comes: give up, ask again."""
        while True:
            await self._clock.sleep_until(self._clock.now_ns() + TICK_NS)
            now_ns = self._clock.now_ns()
            while (step := self._assembler.expire(now_ns)).lost:
                self._pass_on(step)
            if self._ssrc is None or now_ns - self._packet_ns > self._options.stall_ns:
                continue  # a paused camera has nothing to send again
            if self._wants_keyframe(now_ns):
                await self.ask_for_keyframe(self._ssrc)
            missing = self._assembler.missing()
            if missing and now_ns - self._nack_ns > self._options.nack_interval_ns:
                self._nack_ns = now_ns
                await self.ask_again(self._ssrc, missing)

    def take_report(self, report: RtcpSrPacket) -> None:
        """What the sender's wall clock says."""
        ticks = self._timeline.peek(report.sender_info.rtp_timestamp)
        if ticks is not None and report.ssrc == self._ssrc:
            self._capture.observe(report.sender_info.ntp_timestamp, ticks_to_ns(ticks))

    def end(self) -> None:
        """No more pictures will come."""
        self.pipeline.close()
