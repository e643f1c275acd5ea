"""Windowed label propagation: carry soft masks from memory frames to the present one.

Each place looks for places of the same look in a window of a memory frame and takes over their
labels (space-time correspondence, Jabri et al. 2020). The window is cut into blocks, so that the
similarity is one small batched product, and only the blocks that are wanted are computed.
Numerators and normalisers are returned apart, so that a caller can sum them over memory frames.
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
    temperature: float = 0.03


def propagate(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    config: PropagationConfig,
    wanted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum of values weighted by exp(similarity / T) over the window.

    query [C, h, w] and keys [M, C, h, w] are L2-normalised (float32 or bfloat16); values
    [M, V, h, w] float32. Returns [M, V, h, w] float32, unnormalised; give a channel of ones to get
    the normaliser. Blocks without a place of `wanted` [h, w] bool are left at zero.
    """
    block, radius = config.block, config.radius
    height, width = query.shape[-2:]
    down, right = -height % block, -width % block
    rows, cols = (height + down) // block, (width + right) // block
    if wanted is None:
        places = torch.arange(rows * cols, device=query.device)
    else:
        padded = F.pad(wanted, (0, right, 0, down))
        places = padded.view(rows, block, cols, block).any(3).any(1).flatten().nonzero()[:, 0]
    own = _windows(F.pad(query[None], (0, right, 0, down)), block, block, places)
    ring = (radius, radius + right, radius, radius + down)
    side = block + 2 * radius
    near = _windows(F.pad(keys, ring), side, block, places)  # [M, n, C, side^2]
    labels = _windows(F.pad(values, ring), side, block, places)  # [M, n, V, side^2]
    similarity = own.transpose(2, 3) @ near  # [M, n, block^2, side^2]
    weight = torch.exp((similarity.float() - 1.0) / config.temperature)
    weight = weight * _window_mask(block, radius).to(weight)
    summed = labels @ weight.transpose(2, 3)  # [M, n, V, block^2]
    frames, depth = values.shape[:2]
    out = values.new_zeros(frames, depth, rows * cols, block, block)
    out[:, :, places] = summed.permute(0, 2, 1, 3).reshape(frames, depth, -1, block, block)
    out = out.view(frames, depth, rows, cols, block, block).transpose(3, 4)
    return out.reshape(frames, depth, rows * block, cols * block)[..., :height, :width]


def propagate_everywhere(
    query: torch.Tensor, key: torch.Tensor, values: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Like `propagate` from one frame, with no window: [C, h, w] x2, [V, h, w] -> [V, h, w]."""
    channels, height, width = query.shape
    similarity = (query.reshape(channels, -1).T @ key.reshape(channels, -1)).float()
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


def _windows(maps: torch.Tensor, side: int, step: int, places: torch.Tensor) -> torch.Tensor:
    """[M, C, H, W] -> [M, n, C, side^2]: the squares at the given places, every `step` cells."""
    maps = maps.contiguous()
    frames, channels, height, width = maps.shape
    rows, cols = (height - side) // step + 1, (width - side) // step + 1
    strides = maps.stride()
    view = maps.as_strided(
        (frames, rows, cols, channels, side, side),
        (strides[0], step * width, step, strides[1], width, 1),
    )
    picked = view[:, places // cols, places % cols]
    return picked.reshape(frames, len(places), channels, side * side)


@lru_cache(maxsize=8)
def _window_mask(block: int, radius: int) -> torch.Tensor:
    """[block^2, (block + 2 radius)^2]: 1 where a key lies in the query's own square window."""
    own = torch.arange(block) + radius
    near = torch.arange(block + 2 * radius)
    inside = (own[:, None] - near[None]).abs() <= radius
    return (inside[:, None, :, None] & inside[None, :, None, :]).reshape(block * block, -1).float()
