"""KDE-GMM: an adaptive threshold that separates rare large distances from everyday ones, online.

The idea (arXiv 2512.06334): scene changes form their own mode in the distribution of frame
distances. Here it runs in O(1) per frame on a forward-decayed histogram of log distances: a
kernel density finds the modes, a two-component Gaussian mixture is fitted from them by EM on the
bins, and the crossing of the posteriors is the threshold. When the mixture does not convince (BIC,
separation) simpler thresholds stand in. The histogram is the whole state: about 2 KB.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream.keyframes.gates import ThresholdConfig

Bins = npt.NDArray[np.float64]

BINS = 256
LOW, HIGH = -9.3, 0.3  # range of ln(distance + EPSILON)
EPSILON = 1e-4
WIDTH = (HIGH - LOW) / BINS
CENTRES: Bins = np.asarray(LOW + (np.arange(BINS) + 0.5) * WIDTH, dtype=np.float64)
POWERS: Bins = np.stack([np.ones(BINS), CENTRES, CENTRES * CENTRES])  # of every bin
RENORMALISE_AT = 1e9
MIN_PROMINENCE_NATS = 0.7
MIN_TAIL_COUNT = 3.0
BACKGROUND_SAMPLES = 1.5  # added to the density before modes are looked for
VALLEY_NATS = 0.5  # how much denser than the antimode a valley's floor may be
MIN_SEPARATION = 2.0  # distance of the means in pooled standard deviations
EM_STEPS = 15
EM_TOLERANCE = 2e-3  # of the event component's mean, in ln distance (a bin is 0.0375)
SIGMAS_ABOVE_MEDIAN = 5.0  # of the last fallback
MAX_REFIT_FACTOR = 8  # a settled histogram is refitted this much less often


@dataclass(slots=True)
class ThresholdState:
    """The decayed histogram and the threshold in force; owned by the caller, fixed size."""

    histogram: Bins = field(default_factory=lambda: np.zeros(BINS))
    growth: float = 1.0  # of the weight per sample (forward decay)
    weight: float = 1.0  # what the next sample adds
    samples: int = 0
    refit_at: int = 0  # `samples` at which the threshold is fitted next
    tau: float = math.nan  # distance threshold in force
    how: str = "prior"  # which rule gave it


def init_threshold(config: ThresholdConfig) -> ThresholdState:
    """A state that starts at the prior."""
    growth = 2.0 ** (1.0 / config.half_life)
    return ThresholdState(growth=growth, refit_at=config.min_samples, tau=config.prior)


def push(state: ThresholdState, distance: float, config: ThresholdConfig) -> None:
    """Learn one distance (0..1); refits the threshold now and then. NaN is ignored."""
    # Written so that NaN fails the test as well.
    if not config.duplicate < distance < math.inf:
        return
    index = int((math.log(distance + EPSILON) - LOW) / WIDTH)
    weight = state.weight * state.growth
    state.weight = weight
    state.histogram[index if index < BINS else BINS - 1] += weight
    if weight > RENORMALISE_AT:
        state.histogram /= weight
        state.weight = 1.0
    state.samples += 1
    if state.samples >= state.refit_at:
        every = config.refit_every
        state.refit_at = state.samples + min(MAX_REFIT_FACTOR * every, every + state.samples // 8)
        state.tau, state.how = fit(state.histogram / state.weight, config)


def fit(histogram: Bins, config: ThresholdConfig) -> tuple[float, str]:
    """Threshold (a distance) of a histogram of decayed counts, and the rule that gave it."""
    total = float(histogram.sum())
    if total < 1.0:
        return config.prior, "prior"
    p = histogram * (1 / total)
    median, sigma = _robust_scale(p)
    valley = _find_valley(p, sigma, total)
    crossing = _mixture_threshold(p, valley, sigma, median, total)
    if crossing is not None:
        x, how = crossing
    elif valley.antimode is not None:
        x, how = float(CENTRES[valley.antimode]), "antimode"
    else:
        x, how = median + SIGMAS_ABOVE_MEDIAN * sigma, "median"
    x = max(x, float(CENTRES[valley.main]))
    return min(config.cap, max(config.floor, math.exp(x) - EPSILON)), how


def _robust_scale(p: Bins) -> tuple[float, float]:
    """Median and IQR/1.349 of the binned samples."""
    places = np.minimum(np.searchsorted(p.cumsum(), (0.25, 0.5, 0.75)), BINS - 1)
    low, median, high = CENTRES[places].tolist()
    return median, max((high - low) / 1.349, WIDTH)


@dataclass(frozen=True, slots=True)
class _Valley:
    """What the kernel density shows: the main mode, and the valley before the next to the right."""

    log_density: Bins
    main: int  # bin
    antimode: int | None = None  # bin; None when the main mode is the last one

    def holds(self, x: float) -> bool:
        """Whether ln distance `x` lies in the valley (always, when there is none)."""
        if self.antimode is None:
            return True
        place = min(BINS - 1, max(0, int((x - LOW) / WIDTH)))
        return bool(self.log_density[place] - self.log_density[self.antimode] <= VALLEY_NATS)


def _find_valley(p: Bins, sigma: float, total: float) -> _Valley:
    """The middle of the valley before the most prominent mode to the right of the main one."""
    bandwidth = max(1.06 * sigma * total**-0.2, 1.5 * WIDTH)
    reach = min(BINS // 2 - 1, int(4 * bandwidth / WIDTH))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * (WIDTH / bandwidth)) ** 2)
    kernel *= 1 / kernel.sum()
    density = np.convolve(p, kernel, mode="same")
    main = int(density.argmax())
    # On this background a single sample is no mode of its own.
    log_density = np.log(density + BACKGROUND_SAMPLES * float(kernel[reach]) / total)
    right = log_density[main:]
    peaks = ((right[1:-1] > right[:-2]) & (right[1:-1] >= right[2:])).nonzero()[0] + 1
    best, best_prominence = None, MIN_PROMINENCE_NATS
    for peak in peaks.tolist():
        before = right[:peak]
        low = float(before.min())
        prominence = float(right[peak]) - low
        if prominence < best_prominence:
            continue
        # The floor of a valley is flat and noisy: its middle is the safest place.
        valley = main + round(float((before <= low + VALLEY_NATS).nonzero()[0].mean()))
        if float(p[valley:].sum()) * total >= MIN_TAIL_COUNT:
            best, best_prominence = valley, prominence
    return _Valley(log_density, main, best)


def _mixture_threshold(
    p: Bins, valley: _Valley, sigma: float, median: float, total: float
) -> tuple[float, str] | None:
    """Posterior crossing of a mixture split at the antimode, or at the tail as a rescue.

    EM may spend both components on the everyday class when that is skewed; then the crossing
    leaves the valley and is not believed.
    """
    bandwidth = max(sigma * total**-0.2, 1.5 * WIDTH)
    if valley.antimode is not None:
        x = _crossing(p, float(CENTRES[valley.antimode]), bandwidth, total)
        return (x, "mixture") if x is not None and valley.holds(x) else None
    x = _crossing(p, median + 2.5 * sigma, bandwidth, total)
    return (x, "rescue") if x is not None else None


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Two Gaussians over ln distance: shares, means and variances (0 everyday, 1 events)."""

    w0: float
    w1: float
    m0: float
    m1: float
    v0: float
    v1: float

    def log_odds(self) -> tuple[float, float, float]:
        """c, b, a of ln(p1/p0) = a x^2 + b x + c."""
        a = 0.5 * (1 / self.v0 - 1 / self.v1)
        b = self.m1 / self.v1 - self.m0 / self.v0
        c = 0.5 * (self.m0**2 / self.v0 - self.m1**2 / self.v1)
        c += math.log(self.w1 / self.w0) + 0.5 * math.log(self.v0 / self.v1)
        return c, b, a


def _crossing(p: Bins, split: float, bandwidth: float, total: float) -> float | None:
    """EM from a split; None unless two components beat one (BIC) and stand apart."""
    used = p.nonzero()[0]
    p, powers = p[used], POWERS[:, used]  # [N], [3, N]
    moments = powers * p
    whole = moments.sum(1)
    # Signed responsibility: +1 all event, -1 all everyday; tanh of half the log odds.
    signed = np.where(powers[1] > split, 1.0, -1.0)
    mixture, last = None, math.inf
    for _ in range(EM_STEPS):
        mixture = _maximise((whole + moments @ signed).tolist(), whole.tolist(), bandwidth, total)
        if mixture is None or mixture.m1 <= split:
            return None  # both components have gone to the everyday class
        if abs(mixture.m1 - last) < EM_TOLERANCE:
            break
        last = mixture.m1
        half = np.array(mixture.log_odds()) @ powers * 0.5
        signed = np.tanh(half, out=half)
    assert mixture is not None
    if not _convinces(mixture, p, powers, whole, total):
        return None
    return _posterior_root(mixture, split)


def _maximise(
    twice: list[float], whole: list[float], bandwidth: float, total: float
) -> _Mixture | None:
    """Gaussians of the moments (1, x, x^2); `twice` is the event side's, doubled.

    None when one side is all but empty.
    """
    w1, s1, q1 = (0.5 * moment for moment in twice)
    w0, s0, q0 = whole[0] - w1, whole[1] - s1, whole[2] - q1
    if min(w0, w1) * total < 1.0:
        return None
    m0, m1, floor = s0 / w0, s1 / w1, bandwidth**2
    return _Mixture(w0, w1, m0, m1, max(q0 / w0 - m0 * m0, floor), max(q1 / w1 - m1 * m1, floor))


def _convinces(mixture: _Mixture, p: Bins, powers: Bins, whole: Bins, total: float) -> bool:
    """Whether the two stand apart, the event side has enough samples, and BIC prefers two."""
    separation = (mixture.m1 - mixture.m0) / math.sqrt((mixture.v0 + mixture.v1) / 2)
    if separation < MIN_SEPARATION or min(mixture.w0, mixture.w1) * total < MIN_TAIL_COUNT:
        return False
    m0, v0 = mixture.m0, mixture.v0
    constant = math.log(mixture.w0) - 0.5 * math.log(2 * math.pi * v0) - 0.5 * m0 * m0 / v0
    everyday = np.array((constant, m0 / v0, -0.5 / v0)) @ powers
    odds = np.array(mixture.log_odds()) @ powers
    two = float(p @ (everyday + np.logaddexp(0, odds))) * total
    mean = float(whole[1])
    variance = max(float(whole[2]) - mean * mean, WIDTH**2)
    one = -0.5 * total * (math.log(2 * math.pi * variance) + 1)
    return -2 * two + 5 * math.log(total) < -2 * one + 2 * math.log(total)


def _posterior_root(mixture: _Mixture, split: float) -> float | None:
    """Where both components are equally likely, between the means, nearest the split."""
    c, b, a = mixture.log_odds()
    if abs(a) < 1e-9:
        roots = [-c / b] if b else []
    else:
        inside = b * b - 4 * a * c
        if inside < 0:
            return None
        root = math.sqrt(inside)
        roots = [(-b + root) / (2 * a), (-b - root) / (2 * a)]
    between = [root for root in roots if mixture.m0 < root < mixture.m1]
    return min(between, key=lambda root: abs(root - split)) if between else None
