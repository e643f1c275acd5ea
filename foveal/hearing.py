"""The composition root of hearing: pinned assets -> listeners; and whole recordings as speech."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from devices.hearing import Gate
from devices.listen import ListenConfig, Listener
from devices.resample import RawSound
from devices.transcribe import Transcriber, WhisperTranscriber
from devices.turns import ListenEvent, OnListen
from devices.vad import SileroDetector, VoiceDetector
from foveal.assets import asset_path
from stream.clock import NS_PER_S, Clock, VirtualClock
from stream.errors import SourceError

BLOCK_NS = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Hearing:
    """The models that hear; shared by all listeners. `pool` should have one thread."""

    detector: VoiceDetector
    transcriber: Transcriber
    pool: Executor | None = None

    def listener(
        self,
        on_event: OnListen,
        clock: Clock,
        config: ListenConfig | None = None,
        gate: Gate | None = None,
    ) -> Listener:
        """A listener for one stream; make it on its event loop."""
        return Listener(self.detector, self.transcriber, on_event, clock, self.pool, config, gate)


def load_hearing(pool: Executor | None = None, threads: int = 1) -> Hearing:
    """Voice detection and whisper; raises AssetError with what to do."""
    folder = asset_path("whisper-tiny-en", "model.bin").parent
    return Hearing(SileroDetector(), WhisperTranscriber(folder, threads), pool)


def hear_file(
    path: Path, hearing: Hearing, config: ListenConfig | None = None
) -> list[ListenEvent]:
    """Everything that is said in a sound or video file, on the virtual clock.

    Every word is waited for, so two runs give the same. Raises SourceError when there is no sound.
    """
    return asyncio.run(_hear(path, hearing, config))


async def _hear(path: Path, hearing: Hearing, config: ListenConfig | None) -> list[ListenEvent]:
    events: list[ListenEvent] = []
    clock = VirtualClock()
    # Partial transcripts change nothing in the end.
    config = replace(config or ListenConfig(), partial_every_ns=None)
    listener = hearing.listener(events.append, clock, config)
    for pcm, pts_ns, rate in read_sound(path):
        clock.advance_to(pts_ns)
        listener.feed(pcm, pts_ns, rate)
        await listener.drain()
    await listener.close()
    return events


def read_sound(path: Path) -> Iterator[tuple[RawSound, int, int]]:
    """Blocks of 20 ms of the first audio track: int16 [N, channels], their time, their rate.

    A damaged packet is left out: what follows keeps its time. Raises SourceError when the file
    cannot be read or has no sound.
    """
    try:
        container = av.open(str(path))
    except (FFmpegError, OSError) as error:
        raise SourceError(f"expected a sound or video file, got {path}: {error}") from error
    with container:
        if not container.streams.audio:
            raise SourceError(f"expected a file with an audio track, got {path} without one")
        stream = container.streams.audio[0]
        begin_ns: int | None = None
        resampler: Any = None
        for packet in container.demux(stream):
            for frame in _decode(packet):
                if resampler is None:
                    resampler = av.AudioResampler("s16", frame.layout, frame.sample_rate)
                time = 0.0 if frame.time is None else frame.time
                pts_ns = round(time * NS_PER_S)
                begin_ns = pts_ns if begin_ns is None else begin_ns
                for part in resampler.resample(frame):
                    pcm = part.to_ndarray().reshape(-1, len(part.layout.channels))
                    yield from _blocks(pcm, max(0, pts_ns - min(begin_ns, 0)), part.sample_rate)


def _decode(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except FFmpegError:
        return []


def _blocks(pcm: Any, pts_ns: int, rate: int) -> Iterator[tuple[RawSound, int, int]]:
    size = max(1, rate * BLOCK_NS // NS_PER_S)
    for at in range(0, len(pcm), size):
        block = np.ascontiguousarray(pcm[at : at + size])
        yield block, pts_ns + at * NS_PER_S // rate, rate
