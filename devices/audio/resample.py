"""Sound of any rate -> mono at another, as it streams: FFmpeg's swresample, through PyAV.

1 ms of look-ahead. Streaming equals offline: where the blocks are cut changes nothing.
"""

from typing import Literal, TypeVar

import av
import numpy as np
import numpy.typing as npt

from devices.audio.pcm import HEARING_HZ
from stream.errors import DeviceError

MIN_HZ, MAX_HZ = 4_000, 192_000

SampleT = TypeVar("SampleT", np.int16, np.float32)


class FrameResampler:
    """One stream of av.AudioFrame of any format, layout and rate, which may change."""

    def __init__(self, rate_out: int, kind: Literal["s16", "flt"]) -> None:
        self._wanted = kind, "mono", rate_out
        self._resampler = av.AudioResampler(*self._wanted)

    def feed(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        """The output that a frame completes; the rest for None, at the end."""
        try:
            return list(self._resampler.resample(frame))
        except ValueError:  # the format has changed: a new stream
            self._resampler = av.AudioResampler(*self._wanted)
            return list(self._resampler.resample(frame))


class Resampler:
    """One stream of samples [N]; raises DeviceError for a rate outside 4 to 192 kHz."""

    def __init__(self, rate_in: int, rate_out: int = HEARING_HZ) -> None:
        for rate in (rate_in, rate_out):
            if not MIN_HZ <= rate <= MAX_HZ:
                raise DeviceError(
                    f"expected a sample rate from {MIN_HZ} to {MAX_HZ} Hz, got {rate}"
                )
        self._rate_in, self._rate_out = rate_in, rate_out
        self._frames: FrameResampler | None = None

    def feed(self, sound: npt.NDArray[SampleT], last: bool = False) -> npt.NDArray[SampleT]:
        """Take [N], all int16 or all float32; the output that they complete, with `last` all."""
        if self._rate_in == self._rate_out:
            return sound
        kind: Literal["s16", "flt"] = "s16" if sound.dtype == np.int16 else "flt"
        self._frames = self._frames or FrameResampler(self._rate_out, kind)
        out = [sound[:0]]
        if len(sound):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[None]), kind, "mono")
            frame.sample_rate = self._rate_in
            out += [part.to_ndarray()[0] for part in self._frames.feed(frame)]
        if last:
            out += [part.to_ndarray()[0] for part in self._frames.feed(None)]
        return np.concatenate(out)
