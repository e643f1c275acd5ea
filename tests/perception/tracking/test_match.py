"""Reading an object's memory: equal to a plain loop, follows motion, stays bounded."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from perception.tracking.match import match_anywhere, match_near, memory_frame
from perception.tracking.settings import MatchConfig

SHAPE = (24, 32, 40)  # channels, rows, columns


def _key(seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)), dim=0)


def _square(top: int, left: int, side: int = 8) -> torch.Tensor:
    label = torch.zeros(SHAPE[1:])
    label[top : top + side, left : left + side] = 1
    return label


def test_a_match_is_the_plain_weighted_mean() -> None:
    config = MatchConfig(temperature=0.2, reach=2, ring=3)
    keys, labels = [_key(0), _key(1)], [_square(8, 10), _square(9, 12)]
    looks = [memory_frame(k, label, config) for k, label in zip(keys, labels, strict=True)]
    query, expected = _key(2), _square(10, 14)
    match = match_near(query, expected, looks, config)
    row, col = 11, 15
    total = weights = 0.0
    spread = max(config.spread, config.min_spread / 8)
    for key, label in zip(keys, labels, strict=True):
        near = F.max_pool2d(label[None], 7, 1, 3)[0] > 0
        middle = [float((label.sum(1 - d) * torch.arange(SHAPE[1 + d])).sum()) / 64 for d in (0, 1)]
        for y, x in near.nonzero().tolist():
            cosine = float(query[:, row, col] @ key[:, y, x])
            own = ((row - 13.5) / 8, (col - 17.5) / 8)
            away = [(own[0] - (y - middle[0]) / 8), (own[1] - (x - middle[1]) / 8)]
            prior = -0.5 * (away[0] ** 2 + away[1] ** 2) / spread**2
            weight = float(np.exp((cosine - 1) / config.temperature + prior))
            total, weights = total + weight * float(label[y, x]), weights + weight
    assert float(match[0, row, col]) == pytest.approx(total / weights, abs=1e-4)


def test_labels_follow_a_thing_that_moved() -> None:
    config = MatchConfig(max_cells=2000)
    key, label = _key(0), _square(8, 10)
    look = memory_frame(key, label, config)
    moved = torch.roll(key, (3, 5), (1, 2))
    match = match_near(moved, _square(10, 14), [look], config)
    assert torch.equal(match[0] >= 0.5, _square(11, 15) > 0)
    assert float(match[2, 13, 17]) > 0.9
    assert float(match[0, 0, 0]) == 0


def test_nothing_expected_gives_nothing() -> None:
    look = memory_frame(_key(0), _square(8, 10), MatchConfig())
    match = match_near(_key(1), torch.zeros(SHAPE[1:]), [look], MatchConfig())
    assert not match[0].any()


def test_large_looks_are_thinned_out() -> None:
    config = MatchConfig(max_cells=50)
    look = memory_frame(_key(0), _square(2, 2, 24), config)
    assert 25 <= len(look.cells) <= 50
    assert look.cells.shape[1] == SHAPE[0] + 4


def test_a_search_finds_a_thing_far_away() -> None:
    key, label = _key(0), _square(8, 4)
    pooled = F.interpolate(F.avg_pool2d(key[None], 2), scale_factor=2)[0]  # coarse, as real ones
    key = F.normalize(pooled, dim=0)
    look = memory_frame(key, label, MatchConfig())
    found, surety = match_anywhere(torch.roll(key, 20, 2), [look], 0.03, (16, 256))
    assert float(found[12, 28]) > 0.9
    assert float(found[12, 8]) < 0.1
    assert surety > 0.9
    none, surety = match_anywhere(torch.roll(key, 20, 2), [look], 0.03, (100, 256))
    assert (float(none.max()), surety) == (0.0, 0.0)


def test_of_many_cells_every_other_one_is_matched_and_the_rest_filled_in() -> None:
    key, label = _key(4), _square(4, 6, 20)
    smooth = F.normalize(F.avg_pool2d(key[None], 5, 1, 2)[0], dim=0)
    few, many = MatchConfig(max_queries=200), MatchConfig(max_queries=2000)
    looks = [memory_frame(smooth, label, many)]
    whole, thinned = (match_near(smooth, label, looks, config) for config in (many, few))
    white = (torch.arange(32)[:, None] + torch.arange(40)) % 2 == 0
    torch.testing.assert_close(thinned[0][white], whole[0][white])
    inside = label > 0.5
    assert float((thinned[0] - whole[0])[inside].abs().mean()) < 0.25
    far = F.max_pool2d(label[None], 25, 1, 12)[0] == 0
    assert not thinned[0][far].any()
