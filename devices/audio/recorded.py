"""The sound of a recording, in blocks with their times."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from devices.audio.pcm import RawSound
from stream.clock import NS_PER_S
from stream.errors import SourceError
from stream.sources.container import PacketClock, main_video, open_container
from stream.sources.reader import Faults
from stream.sources.vrs import read_microphone

BLOCK_NS = 20_000_000
EXPECTED = "a sound or video file"


def sound_tracks(path: Path) -> int:
    """How many sound tracks a recording has; 1 of an Aria recording, whose microphones are one."""
    if path.suffix.lower() == ".vrs":
        return 1
    with open_container(path, EXPECTED) as container:
        return len(container.streams.audio)


def read_sound(path: Path, track: int = 1) -> Iterator[tuple[RawSound, int, int]]:
    """Blocks of 20 ms of a sound track, which count from 1: samples, their time, their rate.

    Samples are int16 [N, channels], or float32 [N] of the first microphone of an Aria recording
    (.vrs); rate and channels may change on the way. Times count from the first picture where there
    is one. A damaged packet is left out: what follows keeps its time. Raises SourceError when the
    file cannot be read or has no such track.
    """
    if path.suffix.lower() == ".vrs":
        for sound, pts_ns, rate in read_microphone(path):
            yield from _blocks(sound, pts_ns, rate)
        return
    with open_container(path, EXPECTED) as container:
        count = len(container.streams.audio)
        if not count:
            raise SourceError(f"expected a file with an audio track, got {path} without one")
        if not 1 <= track <= count:
            raise SourceError(f"expected sound track 1 to {count} of {path}, got {track}")
        stream, start_ns = container.streams.audio[track - 1], _start_ns(container)
        evened = _Evened()
        for packet in PacketClock(stream, Faults()).mend(container.demux(stream)):
            for frame in _decode(packet):
                pts_ns = round((frame.time or 0.0) * NS_PER_S) - start_ns
                for part in evened.feed(frame):
                    pcm = part.to_ndarray().reshape(-1, len(part.layout.channels))
                    yield from _blocks(pcm, pts_ns, part.sample_rate)


class _Evened:
    """Sound of any sample format as 16 bits, at its own rate and layout, which may change."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._form: tuple[str, str, int] | None = None

    def feed(self, frame: Any) -> Iterator[Any]:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            self._resampler = av.AudioResampler("s16", frame.layout, frame.sample_rate)
            self._form = form
        yield from self._resampler.resample(frame)


def _start_ns(container: Any) -> int:
    """When the first picture is shown."""
    first = main_video(container) or container.streams.audio[0]
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
