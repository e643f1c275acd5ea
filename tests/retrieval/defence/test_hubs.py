"""Hubs: what is near to every query is scaled down, and left out where it is planted."""

from typing import TYPE_CHECKING

import numpy as np

from retrieval.defence.hubs import FEW, REFUSED, HubGuard, crowding, hub_bank
from retrieval.encoders.text import Vectors, unit_rows
from retrieval.store.caches.vectors import FaissIndex

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

DIM = 96
RNG = np.random.default_rng(3)
CONE = RNG.standard_normal(DIM).astype(np.float32) * 0.7  # pictures lie in a narrow cone
CLASSES = unit_rows(RNG.standard_normal((600, DIM)).astype(np.float32) + CONE)


def indexed(*planted: Vectors) -> FaissIndex:
    """FEW entries, each near to what a class names, and what is planted."""
    of = CLASSES[np.arange(FEW) % len(CLASSES)]
    around = of + np.random.default_rng(5).standard_normal((FEW, DIM)).astype(np.float32) / 8
    index = FaissIndex(DIM)
    index.add(unit_rows(np.concatenate([around, *(one[None] for one in planted)])))
    return index


def middle() -> Vectors:
    return np.asarray(CLASSES.mean(axis=0), np.float32)


def test_a_bank_is_of_unit_length_and_the_same_every_time() -> None:
    bank = hub_bank(CLASSES)
    assert bank.shape == (500, DIM) and bank.dtype == np.float32
    assert np.allclose(np.linalg.norm(bank, axis=1), 1, atol=1e-5)
    assert np.array_equal(bank, hub_bank(CLASSES))
    assert len(hub_bank(CLASSES[:3])) == 103


def test_a_planted_hub_is_left_out() -> None:
    index, bank = indexed(middle()), hub_bank(CLASSES)
    guard = HubGuard.of(index, FEW + 1, bank)
    assert guard.shares[FEW] > REFUSED
    assert FEW in guard.refused
    assert not guard.admits(np.array([FEW]))[0]
    assert guard.shares.argmax() == FEW


def test_no_honest_entry_of_the_knowledge_base_is_left_out(models: "Models") -> None:
    guard = models.searcher.hubs
    assert guard is not None
    assert guard.refused.size == 0
    assert 0 < guard.shares.max() < REFUSED


def test_scaling_takes_from_what_is_near_to_everything() -> None:
    index, bank = indexed(middle()), hub_bank(CLASSES)
    guard = HubGuard.of(index, FEW + 1, bank)
    rows = np.array([FEW, 0, 1])
    vectors = index.vectors(rows)
    cosines = np.full(3, 0.5, np.float32)
    scaled = guard.scaled(cosines, vectors)
    assert scaled[0] < min(scaled[1], scaled[2])
    taken = (crowding(bank, vectors) - guard.usual) / 2
    assert np.allclose(scaled, cosines - taken, atol=1e-6)


def test_of_few_entries_none_is_left_out() -> None:
    index = FaissIndex(DIM)
    index.add(unit_rows(middle()[None]))
    guard = HubGuard.of(index, 1, hub_bank(CLASSES))
    assert guard.refused.size == guard.reported.size == 0 and guard.admits(np.array([0])).all()
