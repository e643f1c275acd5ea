"""SAM 2's memory attention for many objects at once, with the work they share done once.

The weights are those of transformers' `Sam2VideoMemoryAttention` or `EdgeTamVideoMemoryAttention`;
the result is the same up to rounding. Differences in work: the first layer's self-attention sees
only the picture, so it runs once for all objects; rotary factors are made once; values stay in the
memory's own small width (64 instead of 256) inside the attention and are projected after it.
Softmax rows sum to 1, so

    softmax(Q K') (M V' + b) O' + c  =  (softmax(Q K') M) (O V)' + (O b + c).
"""

from typing import Any

import torch

from perception.sam2.linear import Activation, FastLinear, Rows, attended, fast, on_cpu

POSITION_SCALE = 0.1  # of the picture's position code, as in the SAM 2 code
ROWS = 256  # queries whose scores are held at a time on a CPU
WHOLE_SCORES = 1 << 21  # scores of all objects together up to which they are held at once


class MemoryAttention:
    """Conditions one frame's features on each object's memory."""

    def __init__(self, module: Any, memory_length: int, mixed: bool = False) -> None:
        """`memory_length`: tokens of one frame's memory."""
        turn = key_turn = _turn(module, module.position_ids)
        if hasattr(module, "position_ids_k"):  # EdgeTAM: only the last tokens have a place
            placed = _turn(module, module.position_ids_k)
            key_turn = torch.ones_like(placed[:1]).repeat(memory_length, 1)
            key_turn[memory_length - len(placed) :] = placed
        self._layers = [_Layer(layer, turn, key_turn, mixed) for layer in module.layers]
        self._norm = module.layer_norm

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
        for layer in self._layers:
            hidden = layer(hidden, keyed, memory, pointer_tokens)
        out: torch.Tensor = self._norm(hidden)
        return out


class _Layer:
    def __init__(
        self, layer: Any, turn: torch.Tensor, key_turn: torch.Tensor, mixed: bool = False
    ) -> None:
        own, cross = layer.self_attn, layer.cross_attn_image
        self._norms = (layer.layer_norm1, layer.layer_norm2, layer.layer_norm3)
        self._heads: int = own.num_attention_heads
        self._scale: float = own.scaling
        self._turn, self._key_turn = turn, key_turn
        self._mixed = mixed
        self._own_query, self._own_key, self._own_value, self._own_out = (
            fast(one, mixed=mixed) for one in (own.q_proj, own.k_proj, own.v_proj, own.o_proj)
        )
        self._query, self._key = fast(cross.q_proj, mixed=mixed), fast(cross.k_proj, mixed=mixed)
        # On a GPU the fused kernels want values as wide as keys.
        self._narrow = on_cpu(cross.q_proj.weight.device)
        self._value, self._out = fast(cross.v_proj, mixed=mixed), fast(cross.o_proj, mixed=mixed)
        self._read_out = _after_attention(cross, mixed)
        grow, shrink, activation = _perceptron(layer)
        self._grow, self._shrink = fast(grow, activation, mixed), fast(shrink, mixed=mixed)

    def __call__(
        self,
        hidden: torch.Tensor,
        keyed: torch.Tensor,
        memory: torch.Tensor,
        pointer_tokens: int,
    ) -> torch.Tensor:
        hidden = hidden + self._look_around(self._norms[0](hidden))
        hidden = hidden + self._look_back(self._norms[1](hidden), keyed, memory, pointer_tokens)
        return hidden + self._shrink(self._grow(self._norms[2](hidden)))

    def _look_around(self, normed: torch.Tensor) -> torch.Tensor:
        """Self-attention of the frame."""
        query = self._rotate(self._split(self._own_query(normed)))
        key = self._rotate(self._split(self._own_key(normed)))
        value = self._split(self._own_value(normed))
        if self._narrow and self._mixed:
            read = attend_rows(query * self._scale, key, value, mixed=True)
            return self._own_out(read.transpose(1, 2).flatten(2))
        read = attended(query, key, value, self._scale, self._mixed)
        return self._own_out(read.transpose(1, 2).flatten(2))

    def _look_back(
        self,
        normed: torch.Tensor,
        keyed: torch.Tensor,
        memory: torch.Tensor,
        pointer_tokens: int,
    ) -> torch.Tensor:
        """Cross-attention to each object's memory."""
        query = self._rotate(self._split(self._query(normed)))
        key = self._split(self._turned(self._key(keyed), pointer_tokens))
        if self._narrow:
            values = memory[:, None].expand(-1, self._heads, -1, -1)
            read = attend_rows(query * self._scale, key, values, self._mixed)
            return self._read_out(read.transpose(1, 2).flatten(2))
        query = query.expand(key.shape[0], -1, -1, -1)
        value = self._split(self._value(memory))
        read = attended(query, key, value, self._scale, self._mixed)
        return self._out(read.transpose(1, 2).flatten(2))

    def _turned(self, keys: torch.Tensor, pointer_tokens: int) -> torch.Tensor:
        """Rotary code on the spatial part of keys [B, k*T + P, heads*d], in their own memory."""
        batch, length, width = keys.shape
        cells = self._key_turn.shape[0]
        frames = (length - pointer_tokens) // cells
        spatial = keys[:, : frames * cells]
        split = spatial.view(batch, frames, cells, self._heads, width // self._heads // 2, 2)
        turn = self._key_turn[:, None]  # the same for each head
        if keys.dtype == torch.float32:
            torch.view_as_complex(split).mul_(turn)
        else:
            split.copy_(torch.view_as_real(torch.view_as_complex(split.float()) * turn))
        return keys

    def _split(self, projected: torch.Tensor) -> torch.Tensor:
        """[B, N, heads*d] -> [B, heads, N, d]."""
        batch, length, _ = projected.shape
        return projected.view(batch, length, self._heads, -1).transpose(1, 2)

    def _rotate(self, heads: torch.Tensor) -> torch.Tensor:
        """Axial rotary position code on [B, heads, L, d]."""
        batch, count, length, width = heads.shape
        pairs = heads.float().reshape(batch, count, length, width // 2, 2)
        turned = torch.view_as_real(torch.view_as_complex(pairs) * self._turn)
        return turned.reshape(batch, count, length, width).to(heads.dtype)


def attend_rows(
    query: torch.Tensor, key: torch.Tensor, values: torch.Tensor, mixed: bool = False
) -> torch.Tensor:
    """softmax(Q K') V for scaled queries [B or 1, h, L, d], keys [B, h, N, d], values [B, h, N, D].

    Returns [B, h, L, D]. For CPUs: torch's fused kernel needs values as wide as keys and does not
    use bfloat16 products there. A few hundred queries at a time; keys and values are packed once
    for all queries. `mixed`: products of bfloat16 numbers, and weights kept as such.
    """
    kind = query.dtype
    if mixed:
        query = query.to(torch.bfloat16)
    count, heads, length = key.shape[0], key.shape[1], query.shape[2]
    if count * heads * length * key.shape[2] <= WHOLE_SCORES:
        weights = torch.softmax(query @ key.to(query.dtype).transpose(2, 3), dim=-1)
        return (weights @ values.to(query.dtype)).to(kind)
    out = query.new_empty(count, heads, length, values.shape[3], dtype=kind)
    for one in range(count):
        for head in range(heads):
            keys, held_values = Rows(key[one, head], mixed), Rows(values[one, head].T, mixed)
            rows = query[one if query.shape[0] > 1 else 0, head]
            for start in range(0, length, ROWS):
                held = keys.after(rows[start : start + ROWS])
                torch.softmax(held, -1, out=held)
                out[one, head, start : start + ROWS] = held_values.after(held)
    return out


def _turn(module: Any, positions: torch.Tensor) -> torch.Tensor:
    """[L, d/2] complex64: one factor for each pair of channels, by [L, 2] positions.

    Made anew in float32, whatever the model is cast to: frequencies in bfloat16 turn the far side
    of a picture by up to 0.08 rad too much or too little.
    """
    rotary = module.rotary_emb
    frequencies, _ = rotary.compute_axial_rope_parameters(rotary.config, positions.device)
    angles = (positions[..., None].float() * frequencies).flatten(1)
    return torch.polar(torch.ones_like(angles), angles)


def _perceptron(layer: Any) -> tuple[Any, Any, Activation]:
    """The two layers of a perceptron and what lies between, as SAM 2 and as EdgeTAM name them."""
    if hasattr(layer, "linear1"):
        grow, shrink, between = layer.linear1, layer.linear2, layer.activation
    else:
        grow, shrink, between = layer.mlp.up_proj, layer.mlp.down_proj, layer.mlp.act_fn
    return grow, shrink, "relu" if isinstance(between, torch.nn.ReLU) else "gelu"


def _after_attention(cross: Any, mixed: bool) -> FastLinear:
    """Value projection and output projection as one layer, over [heads*D] narrow values."""
    out, value, width = cross.o_proj.weight, cross.v_proj.weight, cross.head_dim
    parts = [
        out[:, head * width : (head + 1) * width] @ value[head * width : (head + 1) * width]
        for head in range(cross.num_attention_heads)
    ]
    bias = out @ cross.v_proj.bias + cross.o_proj.bias
    return FastLinear(torch.cat(parts, dim=1), bias, mixed=mixed)
