"""SAM 2's memory attention for many objects at once, with the work they share done once.

The weights are those of transformers' `Sam2VideoMemoryAttention`; the result is the same up to
rounding. Differences in work: the first layer's self-attention sees only the picture, so it runs
once for all objects; rotary factors are made once; values stay in the memory's own small width
inside the attention and are projected after it (softmax rows sum to 1, so both orders agree).
"""

from typing import Any

import torch
import torch.nn.functional as F

POSITION_SCALE = 0.1  # of the picture's position code, as in the SAM 2 code


class MemoryAttention:
    """Conditions one frame's features on each object's memory."""

    def __init__(self, module: Any) -> None:
        self._module = module
        cos, sin = module.rotary_emb(module.layers[0].layer_norm1.weight, module.position_ids)
        # One complex factor for each pair of channels instead of two doubled real tables.
        self._turn = torch.complex(cos[0, :, ::2].contiguous(), sin[0, :, ::2].contiguous())

    def __call__(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        memory: torch.Tensor,
        memory_positions: torch.Tensor,
        pointer_tokens: int,
    ) -> torch.Tensor:
        """[L, C] frame tokens and [B, N, D] memory, pointers last -> [B, L, C]."""
        hidden = (tokens + POSITION_SCALE * positions)[None]  # one row until objects differ
        keyed = memory + memory_positions
        for layer in self._module.layers:
            normed = layer.layer_norm1(hidden)
            hidden = hidden + self._self_attention(layer.self_attn, normed)
            normed = layer.layer_norm2(hidden)
            read = self._cross_attention(
                layer.cross_attn_image, normed, keyed, memory, pointer_tokens
            )
            hidden = hidden + read
            normed = layer.layer_norm3(hidden)
            hidden = hidden + layer.linear2(layer.activation(layer.linear1(normed)))
        out: torch.Tensor = self._module.layer_norm(hidden)
        return out

    def _self_attention(self, attention: Any, normed: torch.Tensor) -> torch.Tensor:
        query = self._rotate(_heads(attention, attention.q_proj(normed)))
        key = self._rotate(_heads(attention, attention.k_proj(normed)))
        value = _heads(attention, attention.v_proj(normed))
        read = F.scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        out: torch.Tensor = attention.o_proj(read.transpose(1, 2).flatten(2))
        return out

    def _cross_attention(
        self,
        attention: Any,
        normed: torch.Tensor,
        keyed: torch.Tensor,
        memory: torch.Tensor,
        pointer_tokens: int,
    ) -> torch.Tensor:
        query = self._rotate(_heads(attention, attention.q_proj(normed)))
        key = _heads(attention, attention.k_proj(keyed))
        spatial = key.shape[2] - pointer_tokens
        key = torch.cat([self._rotate(key[:, :, :spatial]), key[:, :, spatial:]], dim=2)
        query = query.expand(key.shape[0], -1, -1, -1)
        value = _heads(attention, attention.v_proj(memory))
        read = F.scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        out: torch.Tensor = attention.o_proj(read.transpose(1, 2).flatten(2))
        return out

    def _rotate(self, heads: torch.Tensor) -> torch.Tensor:
        """Axial rotary position code on [B, heads, k*L, d]; it repeats for each memory frame."""
        batch, count, length, width = heads.shape
        frames = length // self._turn.shape[0]
        pairs = heads.float().reshape(batch, count, frames, -1, width // 2, 2)
        turned = torch.view_as_real(torch.view_as_complex(pairs) * self._turn)
        return turned.reshape(batch, count, length, width).to(heads.dtype)


def _heads(attention: Any, projected: torch.Tensor) -> torch.Tensor:
    """[B, N, heads*d] -> [B, heads, N, d]."""
    batch, length, _ = projected.shape
    split = projected.view(batch, length, attention.num_attention_heads, attention.head_dim)
    return split.transpose(1, 2)
