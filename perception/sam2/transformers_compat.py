"""The private names of transformers' SAM 2, all that are used: no other module touches one."""

from typing import Any

import torch

WRITTEN_FOR = {"transformers": ("5.23", "5.25")}  # from, below


def position_embedding(backbone: Any, rows: int, columns: int) -> torch.Tensor:
    """[rows, columns, C] that a Hiera backbone adds to its patches."""
    embedding: torch.Tensor = backbone._get_pos_embed((rows, columns))[0]
    return embedding


def stable_mask(
    decoder: Any, masks: torch.Tensor, quality: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, 1, h, w] and [B, 1]: the single mask, or where it is unstable the best of the others."""
    stable = decoder._dynamic_multimask_via_stability(masks[:, None], quality[:, None])
    return stable[0][:, 0], stable[1][:, 0]
