"""Whether the wearer has gone somewhere else, by what whole pictures look like.

A place is the running mean of its pictures' descriptors. Turning round changes the picture as well,
so the wearer has left only once pictures have stayed unlike the place for a while.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stream.clock import NS_PER_S

Descriptor = npt.NDArray[np.float32]  # [C], at unit length

UNLIKE = 0.5  # cosine with the place below which a picture shows another one
AWAY_NS, AWAY_LOOKS = 4 * NS_PER_S, 3  # of unlike pictures in a row: it was left
RATE = 0.1  # share of a new picture in the place


@dataclass(frozen=True, slots=True, eq=False)
class Leaving:
    """Where the wearer is, and since when it looks like somewhere else."""

    place: Descriptor | None = None
    away: int = 0  # looks in a row
    away_ns: int = 0  # the first of them

    @property
    def going(self) -> bool:
        """Whether the last look was unlike the place."""
        return self.away > 0

    def step(self, at_ns: int, looks: Descriptor) -> tuple["Leaving", bool]:
        """After a look; whether the place has just been left.

        A clock that went back starts anew.
        """
        if self.place is None:
            return Leaving(looks), False
        if float(self.place @ looks) >= UNLIKE:
            mixed = (1 - RATE) * self.place + RATE * looks
            return Leaving(np.asarray(mixed / np.linalg.norm(mixed), np.float32)), False
        if not self.away or at_ns < self.away_ns:
            return replace(self, away=1, away_ns=at_ns), False
        after = replace(self, away=self.away + 1)
        if after.away >= AWAY_LOOKS and at_ns - self.away_ns >= AWAY_NS:
            return Leaving(looks), True
        return after, False
