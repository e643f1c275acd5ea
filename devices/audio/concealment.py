"""A short loss of sound made inaudible: the last period of the voice goes on, and fades.

The idea of ITU-T G.711 appendix I. Opus has its own, which FFmpeg does not offer.
"""

import numpy as np

from devices.audio.pcm import Pcm
from stream.clock import NS_PER_MS, NS_PER_S

MAX_CONCEALED_NS = 60 * NS_PER_MS  # faded out after that
TEMPLATE_MS = 8  # compared
PERIODS_MS = 2.5, 15  # of voices, 400 to 67 Hz


def conceal(heard: Pcm, rate_hz: int, lost_ns: int) -> Pcm:
    """What may have followed `heard` int16 [N, channels]: [M, channels], at most 60 ms."""
    count = min(lost_ns, MAX_CONCEALED_NS) * rate_hz // NS_PER_S
    period = _period(heard.mean(axis=1, dtype=np.float32), rate_hz)
    if not period:
        return np.zeros((count, heard.shape[1]), np.int16)
    repeated = np.resize(heard[-period:], (count, heard.shape[1]))
    fade = 1 - np.arange(count, dtype=np.float32) * NS_PER_S / (rate_hz * MAX_CONCEALED_NS)
    return (repeated * fade[:, None]).astype(np.int16)


def _period(mono: np.ndarray[tuple[int], np.dtype[np.float32]], rate_hz: int) -> int:
    """Samples after which the end of `mono` [N] is most like itself; 0 where N is too short."""
    template = TEMPLATE_MS * rate_hz // 1000
    least, most = (round(one * rate_hz / 1000) for one in PERIODS_MS)
    if len(mono) < template + most:
        return 0
    end, before = mono[-template:], mono[-template - most : -least]
    alike = np.correlate(before, end, "valid")  # by lag: most, most - 1, ... least
    sums = np.cumsum(np.concatenate([[0.0], np.square(before, dtype=np.float64)]))
    energy = sums[template:] - sums[:-template]
    return most - int(np.argmax(alike / np.sqrt(energy + 1)))
