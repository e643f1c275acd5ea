"""Signals of any scale are mixed by rank, and neighbours take their share of the places."""

import numpy as np

from retrieval.memory.signals import calibrated, close, mixed, with_neighbours

NONE = -np.inf


def test_scales_do_not_matter_and_nothing_is_evidence_of_nothing() -> None:
    scores = np.array([0.2, NONE, 0.9, 0.5], np.float32)
    found = calibrated(scores)
    np.testing.assert_allclose(found, calibrated(scores * 1000))
    assert found.argmax() == 2 and found[2] == 1.0 and found[1] == 0.0
    assert not calibrated(np.full(4, NONE, np.float32)).any()
    assert calibrated(np.array([0.3], np.float32)).tolist() == [1.0]


def test_what_two_signals_agree_on_comes_first_and_the_newer_of_equals() -> None:
    words = np.array([1, 1, NONE, NONE], np.float32)
    meaning = np.array([0.1, 0.6, 0.7, 0.6], np.float32)
    scores = mixed({"words": words, "meaning": meaning}, np.arange(4))
    assert scores.argmax() == 1
    assert mixed({"words": np.ones(4, np.float32)}, np.array([0, 3, 1, 2])).argmax() == 1


def test_close_is_as_good_as_the_best_and_above_the_floor() -> None:
    nearness = np.array([0.90, 0.89, 0.5, NONE], np.float32)
    assert close(nearness, 0.4).tolist() == [True, True, False, False]
    assert not close(nearness, 0.95).any()
    assert not close(np.zeros(0, np.float32), 0.1).any()


def test_neighbours_are_of_the_session_and_take_their_share() -> None:
    order, place = np.array([2, 0, 1, 3]), np.array([1, 2, 0, 3])
    sessions = np.array([1, 1, 1, 2])
    found = with_neighbours([0, 3, 1], order, place, sessions, 3)
    assert found == [(0, 0), (3, 0), (2, -1)]
    assert with_neighbours([3], order, place, sessions, 10) == [(3, 0)]
    assert with_neighbours([0, 1], order, place, sessions, 1) == [(0, 0)]
