"""KDE-GMM: an adaptive threshold that separates rare large distances from everyday ones, online.

The idea (arXiv 2512.06334): scene changes form their own mode in the distribution of frame
distances. Here it runs in O(1) per frame on a forward-decayed histogram of log distances: a
kernel density finds the modes, a two-component Gaussian mixture is fitted from them by EM on the
bins, and the crossing of the posteriors is the threshold. When the mixture does not convince (BIC,
separation) simpler thresholds stand in. The histogram is the whole state: about 4 KB.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream.errors import ConfigError

Bins = npt.NDArray[np.float64]

BINS = 256
LOW, HIGH = -9.3, 0.3  # range of ln(distance + EPSILON)
EPSILON = 1e-4
WIDTH = (HIGH - LOW) / BINS
CENTRES: Bins = np.asarray(LOW + (np.arange(BINS) + 0.5) * WIDTH, dtype=np.float64)
RENORMALISE_AT = 1e9
MIN_PROMINENCE_NATS = 0.7
MIN_TAIL_COUNT = 3.0
MIN_SEPARATION = 2.0  # distance of the means in pooled standard deviations
EM_STEPS = 25
SIGMAS_ABOVE_MEDIAN = 5.0  # of the last fallback


@dataclass(frozen=True, slots=True)
class ThresholdConfig:
    """How one threshold adapts; raises ConfigError on values out of range."""

    prior: float = 0.13  # distance threshold until `min_samples` have been seen
    cap: float = 0.6  # no learned threshold above this distance
    floor: float = 0.02  # none below it: such distances are noise in any scene
    half_life: int = 3000  # samples after which one counts half
    refit_every: int = 64
    min_samples: int = 64
    duplicate: float = 2e-3  # distances up to this are repeated frames and are not learned from

    def __post_init__(self) -> None:
        if not 0 < self.floor <= self.prior <= self.cap:
            raise ConfigError(
                f"expected 0 < floor <= prior <= cap, got {self.floor}, {self.prior}, {self.cap}"
            )
        if min(self.half_life, self.refit_every, self.min_samples) < 1:
            raise ConfigError("expected half_life, refit_every and min_samples of 1 or more")


@dataclass(slots=True)
class ThresholdState:
    """The decayed histogram and the threshold in force; owned by the caller, fixed size."""

    histogram: Bins = field(default_factory=lambda: np.zeros(BINS))
    weight: float = 1.0  # what the next sample adds (forward decay)
    samples: int = 0
    tau: float = math.nan  # distance threshold in force
    how: str = "prior"  # which rule gave it


def init_threshold(config: ThresholdConfig) -> ThresholdState:
    """A state that starts at the prior."""
    return ThresholdState(tau=config.prior)


def push(state: ThresholdState, distance: float, config: ThresholdConfig) -> None:
    """Learn one distance (0..1); refits the threshold every `refit_every` samples."""
    if distance <= config.duplicate or not math.isfinite(distance):
        return
    x = math.log(distance + EPSILON)
    index = min(BINS - 1, max(0, int((x - LOW) / WIDTH)))
    state.weight *= 2.0 ** (1.0 / config.half_life)
    state.histogram[index] += state.weight
    if state.weight > RENORMALISE_AT:
        state.histogram /= state.weight
        state.weight = 1.0
    state.samples += 1
    if state.samples >= config.min_samples and state.samples % config.refit_every == 0:
        state.tau, state.how = fit(state.histogram / state.weight, config)


def fit(histogram: Bins, config: ThresholdConfig) -> tuple[float, str]:
    """Threshold (a distance) of a histogram of decayed counts, and the rule that gave it."""
    total = float(histogram.sum())
    if total <= 0:
        return config.prior, "prior"
    p = histogram / total
    median, sigma = _robust_scale(p)
    main, antimode = _modes(p, sigma, total)
    crossing = _mixture_threshold(p, antimode, sigma, median, total)
    if crossing is not None:
        x, how = crossing
    elif antimode is not None:
        x, how = float(CENTRES[antimode]), "antimode"
    else:
        x, how = median + SIGMAS_ABOVE_MEDIAN * sigma, "median"
    x = max(x, float(CENTRES[main]))
    return min(config.cap, max(config.floor, math.exp(x) - EPSILON)), how


def _robust_scale(p: Bins) -> tuple[float, float]:
    """Median and IQR/1.349 of the binned samples."""
    cumulative = np.cumsum(p)
    low, median, high = (
        float(CENTRES[min(BINS - 1, int(np.searchsorted(cumulative, q)))])
        for q in (0.25, 0.5, 0.75)
    )
    return median, max((high - low) / 1.349, WIDTH)


def _modes(p: Bins, sigma: float, total: float) -> tuple[int, int | None]:
    """Main mode, and the antimode before the most prominent mode to its right, if there is one."""
    bandwidth = max(1.06 * sigma * total**-0.2, 1.5 * WIDTH)
    reach = int(4 * bandwidth / WIDTH)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * WIDTH / bandwidth) ** 2)
    density = np.convolve(p, kernel / kernel.sum(), mode="same")[:BINS]
    log_density = np.log(density + 1e-3 / total)
    main = int(np.argmax(density))
    best: int | None = None
    best_prominence = MIN_PROMINENCE_NATS
    right = log_density[main:]
    peaks = np.flatnonzero((right[1:-1] > right[:-2]) & (right[1:-1] >= right[2:])) + 1
    for peak in peaks:
        valley = int(np.argmin(right[:peak]))
        prominence = float(right[peak] - right[valley])
        if prominence >= best_prominence and p[main + valley :].sum() * total >= MIN_TAIL_COUNT:
            best, best_prominence = main + valley, prominence
    return main, best


def _mixture_threshold(
    p: Bins, antimode: int | None, sigma: float, median: float, total: float
) -> tuple[float, str] | None:
    """Posterior crossing of a mixture split at the antimode, or at the tail as a rescue."""
    starts = [(float(CENTRES[antimode]), "mixture")] if antimode is not None else []
    starts.append((median + 2.5 * sigma, "rescue"))
    for split, how in starts:
        x = _crossing(p, split, max(sigma * total**-0.2, 1.5 * WIDTH), total)
        if x is not None:
            return x, how
    return None


def _crossing(p: Bins, split: float, bandwidth: float, total: float) -> float | None:
    """EM from a split; None unless two components beat one (BIC) and stand apart."""
    share = np.stack([split >= CENTRES, split < CENTRES]).astype(np.float64)
    if (share @ p).min() * total < MIN_TAIL_COUNT:
        return None
    for _ in range(EM_STEPS):
        weights = share @ p + 1e-12
        means = share @ (p * CENTRES) / weights
        spread = (CENTRES[None] - means[:, None]) ** 2
        variances = np.maximum((share * spread) @ p / weights, bandwidth**2)
        log_joint = (
            np.log(weights)[:, None]
            - 0.5 * np.log(2 * math.pi * variances)[:, None]
            - 0.5 * spread / variances[:, None]
        )
        evidence = np.logaddexp(log_joint[0], log_joint[1])
        share = np.exp(log_joint - evidence)
    if not _convinces(p, means, variances, float(p @ evidence) * total, total):
        return None
    return _posterior_root(weights, means, variances, split)


def _convinces(p: Bins, means: Bins, variances: Bins, likelihood: float, total: float) -> bool:
    separation = (means[1] - means[0]) / math.sqrt(variances.mean())
    mean = float(p @ CENTRES)
    variance = max(float(p @ (CENTRES - mean) ** 2), WIDTH**2)
    single = -0.5 * total * (math.log(2 * math.pi * variance) + 1)
    bic_two = -2 * likelihood + 5 * math.log(total)
    bic_one = -2 * single + 2 * math.log(total)
    return bool(separation >= MIN_SEPARATION and bic_two < bic_one)


def _posterior_root(weights: Bins, means: Bins, variances: Bins, split: float) -> float | None:
    """Where both components are equally likely, between the means, nearest the split."""
    (m0, m1), (v0, v1), (w0, w1) = means, variances, weights
    a = 0.5 * (1 / v0 - 1 / v1)
    b = m1 / v1 - m0 / v0
    c = 0.5 * (m0**2 / v0 - m1**2 / v1) + math.log(w1 / w0) + 0.5 * math.log(v0 / v1)
    roots = [float(r.real) for r in np.roots([a, b, c]) if abs(r.imag) < 1e-9]
    inside = [root for root in roots if m0 < root < m1]
    return min(inside, key=lambda root: abs(root - split)) if inside else None
