"""Other ways to find a sequence of scenes among events: what the exact search is measured beside.

Each takes scores [n, T] of any scale and times [T] in ns, and says at which event it puts each
scene. Where a way has a size or a price, each value is a way of its own.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval.memory.sequences import SequenceConfig, align, rank_evidence
from stream.clock import NS_PER_S

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Places = Sequence[int | None]
Finder = Callable[[Floats, Times], Places]

SIZES = (10, 20, 40, 80)  # events of a window
WIDTH = 8  # of the beam
DECAYS = (0.001, 0.01)  # of a scene's weight, per s
PRICE = 0.005  # nats per s, as of the exact search
RRF = 60  # Cormack et al., 2009


def exact(scores: Floats, times: Times) -> Places:
    """What ships."""
    return align(rank_evidence(scores), times)[0].places


def exact_z(scores: Floats, times: Times) -> Places:
    """The same on z-scores, which are not alike across modalities; worth 1 sd."""
    return align(_z(scores), times, SequenceConfig(worth=1.0))[0].places


def window(scale: Callable[[Floats], Floats], size: int) -> Finder:
    """The window of `size` events with the largest sum of its scenes' best."""

    def find(scores: Floats, times: Times) -> Places:
        del times
        return _in_best_window(scale(scores), size)

    return find


def _in_best_window(rows: Floats, size: int) -> Places:
    size = min(size, rows.shape[1])
    best = np.lib.stride_tricks.sliding_window_view(rows, size, axis=1).max(-1).sum(0)
    start = int(np.argmax(best))
    return [start + int(np.argmax(row[start : start + size])) for row in rows]


def fused_window(scores: Floats, times: Times, size: int = 10) -> Places:
    """Reciprocal rank fusion of the scenes' lists, summed over a window."""
    del times
    ranks = scores.shape[1] * np.exp(-rank_evidence(scores))
    fused = (1 / (RRF + ranks)).sum(0)
    start = int(np.argmax(np.convolve(fused, np.ones(size), "valid")))
    return [start + int(np.argmax(row[start : start + size])) for row in scores]


def beam(decay: float, price: float) -> Finder:
    """Scene by scene, the `WIDTH` best beginnings go on; a scene that is later counts for less."""

    def find(scores: Floats, times: Times) -> Places:
        rows, seconds = rank_evidence(scores), times / NS_PER_S
        starts = np.argsort(-rows[0], kind="stable")[:WIDTH]
        beams: list[tuple[float, tuple[int, ...]]] = [
            (float(rows[0, at]), (int(at),)) for at in starts
        ]
        for row in rows[1:]:
            grown: list[tuple[float, tuple[int, ...]]] = []
            for total, places in beams:
                gaps = seconds - seconds[places[-1]]
                worth = total + row * np.exp(-decay * np.maximum(gaps, 0)) - price * gaps
                worth[: places[-1] + 1] = -np.inf
                for at in np.argsort(-worth, kind="stable")[:WIDTH]:
                    if np.isfinite(worth[at]):
                        grown.append((float(worth[at]), (*places, int(at))))
            beams = sorted(grown, reverse=True)[:WIDTH] or beams
        places = beams[0][1]
        return [*places, *[None] * (len(rows) - len(places))]

    return find


def peers() -> Mapping[str, Finder]:
    """Windows and beams of every size and price."""
    windows = {f"window {size}": window(rank_evidence, size) for size in SIZES}
    beams = {f"beam decay {decay}": beam(decay, 0.0) for decay in DECAYS}
    return {
        **windows,
        "window 10, z": window(_z, 10),
        "window 10, raw": window(lambda scores: scores, 10),
        **beams,
        f"beam price {PRICE}": beam(0.0, PRICE),
        "rrf window 10": fused_window,
    }


def _z(scores: Floats) -> Floats:
    spread = scores.std(1, keepdims=True)
    return np.asarray((scores - scores.mean(1, keepdims=True)) / np.maximum(spread, 1e-9))
