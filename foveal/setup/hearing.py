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

from devices.audio.pcm import RawSound
from devices.listening.listener import ListenConfig, SpeechListener
from devices.listening.speech_events import FinalTranscript, ListenEvent, OnListen
from devices.listening.speech_segmenter import WindowGate
from devices.listening.vad import SileroDetector, VoiceDetector
from devices.listening.whisper import Transcriber, WhisperTranscriber
from foveal.assets.registry import asset_path
from stream.clock import NS_PER_S, Clock, VirtualClock
from stream.errors import SourceError
from stream.events import Question
from stream.sources.vrs import read_microphone

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
        gate: WindowGate | None = None,
    ) -> SpeechListener:
        """A listener for one stream; make it on its event loop."""
        return SpeechListener(
            self.detector, self.transcriber, on_event, clock, self.pool, config, gate
        )


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


def spoken_questions(
    path: Path, hearing: Hearing, wake_phrase: str | None = None
) -> list[Question]:
    """What is said in a recording, as questions asked when the speech ends.

    Times count from the first picture, as those of its frames do.
    """
    events = hear_file(path, hearing, ListenConfig(wake_phrase=wake_phrase))
    return [
        Question(event.text, max(0, event.ended_ns))
        for event in events
        if isinstance(event, FinalTranscript)
    ]


def read_sound(path: Path) -> Iterator[tuple[RawSound, int, int]]:
    """Blocks of 20 ms of the first sound track: samples, their time, their rate.

    Samples are int16 [N, channels], or float32 [N] of the first microphone of an Aria recording
    (.vrs). Times count from the first picture where there is one. A damaged packet is left out:
    what follows keeps its time. Raises SourceError when the file cannot be read or has no sound.
    """
    if path.suffix == ".vrs":
        for sound, pts_ns, rate in read_microphone(path):
            yield from _blocks(sound, pts_ns, rate)
        return
    try:
        container = av.open(str(path))
    except (FFmpegError, OSError) as error:
        raise SourceError(
            f"expected a sound or video file, got {path}: {error.strerror or error}"
        ) from error
    with container:
        if not container.streams.audio:
            raise SourceError(f"expected a file with an audio track, got {path} without one")
        stream = container.streams.audio[0]
        start_ns = _start_ns(container)
        resampler: Any = None
        for packet in container.demux(stream):
            for frame in _decode(packet):
                if resampler is None:
                    resampler = av.AudioResampler("s16", frame.layout, frame.sample_rate)
                pts_ns = round((frame.time or 0.0) * NS_PER_S) - start_ns
                for part in resampler.resample(frame):
                    pcm = part.to_ndarray().reshape(-1, len(part.layout.channels))
                    yield from _blocks(pcm, pts_ns, part.sample_rate)


def _start_ns(container: Any) -> int:
    """When the first picture is shown."""
    streams = [*container.streams.video, *container.streams.audio]
    first = streams[0]
    return int((first.start_time or 0) * first.time_base * NS_PER_S)


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
