"""Windowed label propagation: carry soft masks from memory frames to the present one.

Each place looks for places of the same look in a window of a memory frame and takes over their
labels (space-time correspondence, Jabri et al. 2020). The window is cut into blocks, so that the
similarity is one small batched product; numerators and normalisers are returned apart, so that each
object can sum them over its own memory frames and never disturbs another one.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F


@dataclass(frozen=True, slots=True)
class PropagationConfig:
    """Window and sharpness of the match; lengths in feature cells (8 input pixels each)."""

    radius: int = 6
    block: int = 8
    temperature: float = 0.05


def propagate(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, config: PropagationConfig
) -> torch.Tensor:
    """Sum of values weighted by exp(similarity / T) over the window.

    query [C, h, w] and keys [M, C, h, w] are L2-normalised; values [M, V, h, w].
    Returns [M, V, h, w], unnormalised; give a channel of ones to get the normaliser.
    """
    block, radius = config.block, config.radius
    channels, height, width = query.shape
    frames, depth = values.shape[:2]
    rows, cols = -height % block, -width % block
    own = F.unfold(F.pad(query[None], (0, cols, 0, rows)), block, stride=block)
    count = own.shape[-1]
    own = own.view(channels, block * block, count).permute(2, 1, 0)[None]
    near_keys = _neighbourhoods(keys, config, rows, cols)  # [M, blocks, C, window]
    near_values = _neighbourhoods(values, config, rows, cols)  # [M, blocks, V, window]
    similarity = own @ near_keys  # [M, blocks, block^2, window]
    weight = torch.exp((similarity - 1.0) / config.temperature)
    weight = weight * _window_mask(block, radius).to(weight)
    summed = weight @ near_values.transpose(2, 3)  # [M, blocks, block^2, V]
    folded = summed.permute(0, 3, 2, 1).reshape(frames, depth * block * block, count)
    full = F.fold(folded, (height + rows, width + cols), block, stride=block)
    return full[..., :height, :width]


def propagate_everywhere(
    query: torch.Tensor, key: torch.Tensor, values: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Like `propagate` from one frame, with no window: [C, h, w] x2, [V, h, w] -> [V, h, w]."""
    channels, height, width = query.shape
    similarity = query.reshape(channels, -1).T @ key.reshape(channels, -1)
    weight = torch.exp((similarity - 1.0) / temperature)
    summed = weight @ values.reshape(values.shape[0], -1).T
    return summed.T.reshape(-1, height, width)


def shift(maps: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """Move [..., h, w] maps by whole cells; what moves in from outside is zero."""
    height, width = maps.shape[-2:]
    rows = max(-height, min(height, rows))
    cols = max(-width, min(width, cols))
    padded = F.pad(maps, (max(0, cols), max(0, -cols), max(0, rows), max(0, -rows)))
    top, left = max(0, -rows), max(0, -cols)
    return padded[..., top : top + height, left : left + width]


def _neighbourhoods(
    maps: torch.Tensor, config: PropagationConfig, rows: int, cols: int
) -> torch.Tensor:
    """[M, C, h, w] -> [M, blocks, C, window] with each block's surroundings."""
    radius, block = config.radius, config.block
    padded = F.pad(maps, (radius, radius + cols, radius, radius + rows))
    side = block + 2 * radius
    patches = F.unfold(padded, side, stride=block)
    return (
        patches.view(maps.shape[0], maps.shape[1], side * side, -1).permute(0, 3, 1, 2).contiguous()
    )


@lru_cache(maxsize=8)
def _window_mask(block: int, radius: int) -> torch.Tensor:
    """[block^2, (block + 2 radius)^2]: 1 where a key lies in the query's own square window."""
    own = torch.arange(block) + radius
    near = torch.arange(block + 2 * radius)
    inside = (own[:, None] - near[None]).abs() <= radius
    return (inside[:, None, :, None] & inside[None, :, None, :]).reshape(block * block, -1).float()
