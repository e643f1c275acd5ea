"""Windowed propagation equals a plain loop over the window."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.propagation import PropagationConfig, propagate, propagate_everywhere, shift


def _reference(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, config: PropagationConfig
) -> torch.Tensor:
    """Dense similarity of all places with all places, masked to the window."""
    height, width = query.shape[1:]
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    places = grid.reshape(2, -1).T
    near = (places[:, None] - places[None]).abs().amax(-1) <= config.radius
    out = []
    for key, value in zip(keys, values, strict=True):
        similarity = query.flatten(1).T @ key.flatten(1)
        weight = torch.exp((similarity - 1) / config.temperature) * near
        out.append((weight @ value.flatten(1).T).T.reshape(-1, height, width))
    return torch.stack(out)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 19),
    width=st.integers(1, 23),
    radius=st.integers(0, 6),
    block=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_propagate_equals_the_dense_reference(
    height: int, width: int, radius: int, block: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    config = PropagationConfig(radius=radius, block=block, temperature=0.2)
    query = F.normalize(torch.randn(5, height, width, generator=generator), dim=0)
    keys = F.normalize(torch.randn(2, 5, height, width, generator=generator), dim=1)
    values = torch.rand(2, 3, height, width, generator=generator)
    ours = propagate(query, keys, values, config)
    assert torch.allclose(ours, _reference(query, keys, values, config), atol=1e-4, rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99))
def test_wanted_blocks_are_as_without_the_choice(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    config = PropagationConfig(radius=3, block=4, temperature=0.2)
    query = F.normalize(torch.randn(5, 14, 18, generator=generator), dim=0)
    keys = F.normalize(torch.randn(2, 5, 14, 18, generator=generator), dim=1)
    values = torch.rand(2, 2, 14, 18, generator=generator)
    wanted = torch.rand(14, 18, generator=generator) > 0.95
    some = propagate(query, keys, values, config, wanted)
    every = propagate(query, keys, values, config)
    assert torch.allclose(some[..., wanted], every[..., wanted], atol=1e-5)
    nothing = propagate(query, keys, values, config, torch.zeros_like(wanted))
    assert not nothing.any()


def test_a_wide_window_equals_no_window() -> None:
    query = F.normalize(torch.randn(4, 6, 7), dim=0)
    key = F.normalize(torch.randn(4, 6, 7), dim=0)
    values = torch.rand(2, 6, 7)
    config = PropagationConfig(radius=7, block=4, temperature=0.1)
    near = propagate(query, key[None], values[None], config)[0]
    assert torch.allclose(near, propagate_everywhere(query, key, values, 0.1), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(-8, 8), st.integers(-8, 8))
def test_shift_moves_and_fills_with_zero(rows: int, cols: int) -> None:
    maps = torch.arange(1.0, 31.0).reshape(1, 5, 6)
    moved = shift(maps, rows, cols)
    assert moved.shape == maps.shape
    for row in range(5):
        for col in range(6):
            y, x = row - rows, col - cols
            inside = 0 <= y < 5 and 0 <= x < 6
            assert float(moved[0, row, col]) == (float(maps[0, y, x]) if inside else 0.0)
