"""Bootstrap intervals of figures over things that come in groups, such as regions of pictures."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import numpy.typing as npt

ROUNDS = 2000
Hits = npt.NDArray[np.float64]  # [N] one figure a thing


def clustered(
    groups: Sequence[Hashable], figure: Callable[[npt.NDArray[np.int64]], float]
) -> tuple[float, float]:
    """The 95 % interval of a figure of drawn things, whole groups drawn with replacement.

    `figure` takes the numbers of the drawn things, so that methods compared on the same things are
    compared pair by pair. Rounds where it is no number are left out.
    """
    rng = np.random.default_rng(0)
    numbers: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        numbers.setdefault(group, []).append(number)
    members = [np.array(found, np.int64) for found in numbers.values()]
    values = [
        figure(np.concatenate([members[n] for n in rng.integers(0, len(members), len(members))]))
        for _ in range(ROUNDS)
    ]
    kept = np.array(values)[np.isfinite(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.percentile(kept, [2.5, 97.5])
    return float(low), float(high)


def add(
    row: dict[str, float | int | None],
    name: str,
    groups: Sequence[str],
    figure: Callable[[npt.NDArray[np.int64]], float],
) -> None:
    """A figure of all things with its interval into a row; nothing where it is no number."""
    value = figure(np.arange(len(groups)))
    if np.isfinite(value):  # no gain over nothing
        low, high = clustered(groups, figure)
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}


def mean(values: Hits, drawn: npt.NDArray[np.int64]) -> float:
    """The mean of the drawn ones."""
    return float(values[drawn].mean())
