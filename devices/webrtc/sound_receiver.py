"""aiortc's audio receiver with another way from packet to sound.

Its jitter buffer (80 ms at once, 320 ms after a loss, for good) is replaced by `SoundBuffer`. Sound
goes to the track with its time, so what is missing is a gap in time and never a shift.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from aiortc.codecs import get_decoder

from devices.audio.concealment import conceal
from devices.audio.pcm import Pcm
from devices.webrtc.aiortc_compat import PacketReceiver, rtp_packet
from devices.webrtc.assembler import EncodedFrame
from devices.webrtc.sound_buffer import MAX_WAIT_NS, SoundBuffer, Taken
from devices.webrtc.sound_timeline import SoundTimeline
from stream.clock import NS_PER_MS, NS_PER_S, Clock

logger = logging.getLogger(__name__)

FOREIGN = "foreign-source"
DAMAGED = "damaged-packet"
OVERLAP = "overlapping-packet"  # its time was given out as silence or as sound before
SSRC_SILENCE_NS = 500 * NS_PER_MS  # another source may take over after so long
HISTORY_NS = 40 * NS_PER_MS  # of sound, to conceal a loss with
REST_BYTES = 2  # an Opus packet as short as this begins a silence that is not sent (RFC 6716 2.1.9)
REST_NS = NS_PER_S  # such a silence is believed; Opus sends a packet every 400 ms of it
REST_STEP_NS = 20 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class SoundStats:
    """A sound receiver's numbers so far."""

    packets: int
    sound_ns: int  # decoded
    concealed_ns: int  # made up in place of what was lost
    rest_ns: int  # silence that the sender did not send
    dropped: dict[str, int]  # packets by cause


class SoundReceiver(PacketReceiver):
    """Audio receiver whose track has each packet's sound as soon as it is in order.

    Frames of the track: s16, `pts` and `time_base` in samples from the first packet's time.
    """

    def __init__(self, transport: Any, clock: Clock) -> None:
        super().__init__("audio", transport)
        self._clock = clock
        self._buffer, self._timeline = SoundBuffer(), SoundTimeline()
        self._codecs: dict[int, Any] = {}
        self._decoder: tuple[int, Any] | None = None  # of a payload type
        self._ssrc: int | None = None
        self._packet_ns = 0
        self._end_ns = 0  # of what was given out, stream time
        self._heard: Pcm = np.zeros((0, 1), np.int16)
        self._rate = 48_000
        self._broken = False  # the last packet gave no sound
        self._rests: tuple[int, int] | None = None  # arrival and time of what began a silence
        self._counts: Counter[str] = Counter()
        self._times: Counter[str] = Counter()
        self._due = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def receive(self, parameters: Any) -> None:
        """Start receiving (called by aiortc once DTLS is up)."""
        self._codecs = {codec.payloadType: codec for codec in parameters.codecs}
        await super().receive(parameters)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop for good."""
        self._stop_watching()
        await super().stop()

    def end(self) -> None:
        """No more sound will come: what waits goes out."""
        self._stop_watching()
        if self._buffer.deadline_ns(0) is not None:
            self._take(self._buffer.restart())

    def stats(self) -> SoundStats:
        """The numbers so far."""
        dropped = self._buffer.counts + self._counts
        packets, times = dropped.pop("packets", 0), self._times
        return SoundStats(packets, times["sound"], times["concealed"], times["rest"], dict(dropped))

    def take_packet(self, packet: Any) -> bool:
        """One depacketised RTP packet from aiortc; sound never asks for a keyframe."""
        now_ns = self._clock.now_ns()
        if packet.ssrc != self._ssrc:
            if self._ssrc is not None and now_ns - self._packet_ns < SSRC_SILENCE_NS:
                self._counts[FOREIGN] += 1
                return False
            if self._ssrc is not None:
                self._take(self._buffer.restart())
            self._ssrc = packet.ssrc
        self._packet_ns = now_ns
        self._counts["packets"] += 1
        self._take(self._buffer.add(rtp_packet(packet), now_ns))
        self._due.set()
        return False

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        """What must happen although no packet comes."""
        while True:
            due_ns = self._due_ns()
            if due_ns is None:
                self._due.clear()
                await self._due.wait()
                continue
            await self._clock.sleep_until(due_ns)
            now_ns = self._clock.now_ns()
            self._take(self._buffer.expire(now_ns))
            self._rest(now_ns)

    def _due_ns(self) -> int | None:
        hole_ns = self._buffer.deadline_ns(self._clock.now_ns())
        if hole_ns is not None or self._rests is None:
            return hole_ns
        arrival_ns, pts_ns = self._rests
        return arrival_ns + self._end_ns - pts_ns + REST_STEP_NS + MAX_WAIT_NS

    def _rest(self, now_ns: int) -> None:
        """Give out silence that is not sent: whoever listens waits for the end of speech."""
        while self._rests is not None and (due_ns := self._due_ns()) is not None:
            if due_ns > now_ns or self._buffer.deadline_ns(now_ns) is not None:
                return
            count = REST_STEP_NS * self._rate // NS_PER_S
            self._times["rest"] += REST_STEP_NS
            self._give(np.zeros((count, 1), np.int16), self._end_ns)
            if self._end_ns - self._rests[1] > REST_NS:
                self._rests = None

    def _take(self, taken: list[Taken]) -> None:
        for one in taken:
            codec = self._codecs.get(one.packet.payload_type)
            if codec is None or not one.packet.data:
                continue
            if one.restarted:
                self._timeline.restart()
            pts_ns = self._timeline.map(one.packet.timestamp, codec.clockRate, one.arrival_ns)
            if (one.lost or self._broken) and pts_ns > self._end_ns and len(self._heard):
                self._conceal(pts_ns - self._end_ns)
            self._play(codec, one, pts_ns)
            resting = codec.name == "opus" and len(one.packet.data) <= REST_BYTES
            self._rests = (one.arrival_ns, pts_ns) if resting else None

    def _conceal(self, lost_ns: int) -> None:
        made = conceal(self._heard, self._rate, lost_ns)
        self._times["concealed"] += len(made) * NS_PER_S // self._rate
        if len(made):
            self._give(made, self._end_ns)
        self._heard = np.zeros_like(self._heard)  # a loss after it is silence

    def _play(self, codec: Any, taken: Taken, pts_ns: int) -> None:
        frames = self._decode(codec, taken, pts_ns)
        self._broken = not frames
        for frame in frames:
            channels = len(frame.layout.channels)
            pcm = np.ascontiguousarray(frame.to_ndarray().reshape(-1, channels))
            rate = int(frame.sample_rate)
            length_ns = len(pcm) * NS_PER_S // rate
            if pts_ns + length_ns <= self._end_ns:
                self._counts[OVERLAP] += 1
                continue
            self._rate = rate
            self._times["sound"] += length_ns
            same = self._heard.shape[1] == channels
            past = np.concatenate([self._heard, pcm]) if same else pcm
            self._heard = past[-(HISTORY_NS * rate // NS_PER_S) :]
            self._give(pcm, pts_ns)
            pts_ns += length_ns

    def _decode(self, codec: Any, taken: Taken, pts_ns: int) -> list[Any]:
        kind = taken.packet.payload_type
        if self._decoder is None or self._decoder[0] != kind:
            self._decoder = kind, get_decoder(codec)
        frame = EncodedFrame(pts_ns, taken.packet.data, kind, taken.arrival_ns)
        try:
            return list(self._decoder[1].decode(frame))
        except (av.error.FFmpegError, ValueError) as error:
            self._counts[DAMAGED] += 1
            logger.debug("a damaged packet of sound was left out: %s", error)
            return []

    def _give(self, pcm: Pcm, pts_ns: int) -> None:
        """Hand int16 [N, channels] on, which begins at `pts_ns`."""
        layout = "mono" if pcm.shape[1] == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = round(Fraction(pts_ns * self._rate, NS_PER_S))
        self._end_ns = max(self._end_ns, pts_ns + len(pcm) * NS_PER_S // self._rate)
        self.hand_on(frame)
