"""Vectors that are near to everything: scores against them are scaled down, the worst left out.

In a joint space pictures lie in a narrow cone, so one vector in its middle is the nearest of most
pictures: a hub (Radovanović et al., "Hubs in Space", 2010). One entry planted there answers every
picture. CSLS (Conneau et al., "Word Translation Without Parallel Data", ICLR 2018, eq. 3) takes
from a cosine how near the entry is to queries in general:

    csls(q, x) = 2 cos(q, x) - r(x) - r(q),  r(x) = mean cosine of x to its K nearest queries

r(q) is the same for all entries and is left out, and half of the rest is taken, so that a score
stays on the scale of cosines: cos(q, x) - (r(x) - r) / 2, r being the mean over the entries that
win queries. The queries are a bank made of the names of classes alone: no picture was looked at.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.encoders.text import Vectors, unit_rows

OF_ONE, OF_MANY = 400, 100  # queries of the bank: of one kind of thing, of a few that are unlike
NEAREST = 10  # K; also the places that count for a hub's share
REFUSED = 0.3  # share of the bank that has an entry among its nearest: no honest entry has so much
REPORTED = 0.1
FEW = 1000  # entries; among fewer some are always the nearest
CONFUSED = 0.7  # a class weighs so much of the one before it, in order of likeness
MIXED = 10  # classes that a query of the bank mixes
SPREAD = 0.5  # of the Dirichlet weights of unlike classes
Rows = npt.NDArray[np.int64]


class Neighbours(Protocol):
    """The part of an index that is needed here."""

    def search(self, vectors: Vectors, k: int) -> tuple[Vectors, Rows]: ...

    def vectors(self, numbers: Rows, /) -> Vectors: ...


def hub_bank(classes: Vectors) -> Vectors:
    """[B, D] unit vectors like those of pictures, from [C, D] class vectors; the same every time.

    Most mix a class with those most like it, as the posterior of a picture of one thing does; the
    others mix a few classes that have nothing in common, as that of a full scene does.
    """
    unit = unit_rows(classes)
    chosen = np.unique(np.linspace(0, len(unit) - 1, min(OF_ONE, len(unit))).astype(np.int64))
    order = np.argsort(-(unit[chosen] @ unit.T), axis=1, kind="stable")[:, :MIXED]
    weights = CONFUSED ** np.arange(order.shape[1], dtype=np.float32)
    alike = np.einsum("t,ntd->nd", weights, unit[order])
    rng = np.random.default_rng(0)
    count = min(MIXED, len(unit))
    unlike = [
        rng.dirichlet(np.full(count, SPREAD)) @ unit[rng.choice(len(unit), count, replace=False)]
        for _ in range(OF_MANY)
    ]
    return unit_rows(np.concatenate([alike, np.array(unlike)]).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class HubGuard:
    """CSLS and quarantine for the `count` rows of an index."""

    bank: Vectors  # [B, D] unit queries
    usual: float  # mean crowding of the rows that win queries of the bank
    shares: Vectors  # [count] share of the bank that has the row among its nearest; 0 where FEW

    @classmethod
    def of(cls, index: Neighbours, count: int, bank: Vectors) -> "HubGuard":
        """One batch of searches, as many as the bank is long."""
        found = index.search(bank, NEAREST)[1]
        shares = np.zeros(count, np.float32)
        if count >= FEW:
            met = np.bincount(found[found >= 0], minlength=count)
            shares = (met / len(bank)).astype(np.float32)
        winners = np.unique(found[:, :1])
        kept = winners[winners >= 0]
        kept = kept[shares[kept] <= REFUSED]
        crowded = crowding(bank, index.vectors(kept))
        return cls(bank, float(crowded.mean()) if len(kept) else 0.0, shares)

    def scaled(self, cosines: Vectors, vectors: Vectors) -> Vectors:
        """[N] cosines of rows with the vectors [N, D] -> [N] float32 on the same scale."""
        taken = (crowding(self.bank, vectors) - np.float32(self.usual)) / np.float32(2)
        return np.asarray(cosines - taken, np.float32)

    def admits(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """[N] whether rows may be found by their looks."""
        return np.asarray(self.shares[rows] <= REFUSED, np.bool_)

    @property
    def refused(self) -> Rows:
        """Rows that are left out."""
        return np.flatnonzero(self.shares > REFUSED).astype(np.int64)

    @property
    def reported(self) -> Rows:
        """Rows near to many queries, that stay."""
        near = (self.shares >= REPORTED) & (self.shares <= REFUSED)
        return np.flatnonzero(near).astype(np.int64)


def crowding(bank: Vectors, vectors: Vectors) -> Vectors:
    """[N, D] -> [N] float32: mean cosine of each to its nearest queries of the bank [B, D]."""
    count = min(NEAREST, len(bank))
    near = np.partition(vectors @ bank.T, -count, axis=1)[:, -count:]
    return np.asarray(near.mean(axis=1), np.float32)
