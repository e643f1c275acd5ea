"""InternVL's arithmetic over its stored parameters, written down once more without transformers.

From the published modelling code: InternViT with fused queries, keys and values, the projector
`mlp1`, and InternLM2 with its queries, keys and values in groups.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Stored = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the small model."""

    side: int = 32  # px
    patch: int = 4
    seeing: int = 16  # channels of the vision side
    seeing_heads: int = 2
    hidden: int = 32  # channels of the language side
    heads: int = 4
    keys: int = 2
    layers: int = 2
    inner: int = 48
    vocabulary: int = 300
    theta: float = 1000.0

    @property
    def tokens(self) -> int:
        """Of one tile."""
        return (self.side // self.patch // 2) ** 2


def draw(sizes: Sizes, internlm: bool, seed: int = 0) -> Stored:
    """Random parameters under the stored names."""
    generator = torch.Generator().manual_seed(seed)
    shapes = _vision_shapes(sizes) | (_internlm if internlm else _qwen)(sizes)
    return {name: _draw(name, shape, generator) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 1 and "norm" in name:
        return 1 + 0.1 * noise
    width: float = max(1, noise[0].numel()) ** 0.5
    return noise / width


def _vision_shapes(s: Sizes) -> dict[str, tuple[int, ...]]:
    c, wide, places = s.seeing, 4 * s.seeing, (s.side // s.patch) ** 2 + 1
    found: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (1, 1, c),
        "vision_model.embeddings.patch_embedding.weight": (c, 3, s.patch, s.patch),
        "vision_model.embeddings.patch_embedding.bias": (c,),
        "vision_model.embeddings.position_embedding": (1, places, c),
        "mlp1.0.weight": (wide,),
        "mlp1.0.bias": (wide,),
        "mlp1.1.weight": (s.hidden, wide),
        "mlp1.1.bias": (s.hidden,),
        "mlp1.3.weight": (s.hidden, s.hidden),
        "mlp1.3.bias": (s.hidden,),
    }
    for layer in range(s.layers):
        at = f"vision_model.encoder.layers.{layer}."
        found |= {f"{at}ls1": (c,), f"{at}ls2": (c,)}
        for norm in ("norm1", "norm2"):
            found |= {f"{at}{norm}.weight": (c,), f"{at}{norm}.bias": (c,)}
        rows = {"attn.qkv": 3 * c, "attn.proj": c, "mlp.fc1": 2 * c, "mlp.fc2": c}
        for name, out in rows.items():
            found[f"{at}{name}.weight"] = (out, 2 * c if name == "mlp.fc2" else c)
            found[f"{at}{name}.bias"] = (out,)
    return found


def _qwen(s: Sizes) -> dict[str, tuple[int, ...]]:
    narrow = s.hidden // s.heads * s.keys
    found: dict[str, tuple[int, ...]] = {
        "language_model.model.embed_tokens.weight": (s.vocabulary, s.hidden),
        "language_model.model.norm.weight": (s.hidden,),
        "language_model.lm_head.weight": (s.vocabulary, s.hidden),
    }
    for layer in range(s.layers):
        at = f"language_model.model.layers.{layer}."
        for name, out in (("q", s.hidden), ("k", narrow), ("v", narrow)):
            found[f"{at}self_attn.{name}_proj.weight"] = (out, s.hidden)
            found[f"{at}self_attn.{name}_proj.bias"] = (out,)
        found[f"{at}self_attn.o_proj.weight"] = (s.hidden, s.hidden)
        found[f"{at}mlp.gate_proj.weight"] = (s.inner, s.hidden)
        found[f"{at}mlp.up_proj.weight"] = (s.inner, s.hidden)
        found[f"{at}mlp.down_proj.weight"] = (s.hidden, s.inner)
        found[f"{at}input_layernorm.weight"] = (s.hidden,)
        found[f"{at}post_attention_layernorm.weight"] = (s.hidden,)
    return found


def _internlm(s: Sizes) -> dict[str, tuple[int, ...]]:
    width = s.hidden // s.heads
    found: dict[str, tuple[int, ...]] = {
        "language_model.model.tok_embeddings.weight": (s.vocabulary, s.hidden),
        "language_model.model.norm.weight": (s.hidden,),
        "language_model.output.weight": (s.vocabulary, s.hidden),
    }
    for layer in range(s.layers):
        at = f"language_model.model.layers.{layer}."
        found[f"{at}attention.wqkv.weight"] = ((s.heads + 2 * s.keys) * width, s.hidden)
        found[f"{at}attention.wo.weight"] = (s.hidden, s.hidden)
        found[f"{at}feed_forward.w1.weight"] = (s.inner, s.hidden)
        found[f"{at}feed_forward.w3.weight"] = (s.inner, s.hidden)
        found[f"{at}feed_forward.w2.weight"] = (s.hidden, s.inner)
        found[f"{at}attention_norm.weight"] = (s.hidden,)
        found[f"{at}ffn_norm.weight"] = (s.hidden,)
    return found


def see(stored: Stored, s: Sizes, tiles: Tensor) -> Tensor:
    """[T, 3, side, side] -> [T, tokens, hidden]: InternViT, pixel shuffle v2, mlp1."""
    at = "vision_model.embeddings."
    patches = F.conv2d(
        tiles, stored[f"{at}patch_embedding.weight"], stored[f"{at}patch_embedding.bias"], s.patch
    )
    x = patches.flatten(2).mT
    first = stored[f"{at}class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([first, x], 1) + stored[f"{at}position_embedding"]
    for layer in range(s.layers):
        x = _vision_layer(stored, f"vision_model.encoder.layers.{layer}.", x, s.seeing_heads)
    side = s.side // s.patch
    x = x[:, 1:].reshape(len(x), side, side, -1)
    # Pixel shuffle: four neighbours become one token, their channels one after the other.
    x = x.reshape(len(x), side // 2, 2, side // 2, 2, -1).permute(0, 1, 3, 2, 4, 5)
    x = x.reshape(len(x), s.tokens, -1)
    x = F.layer_norm(x, x.shape[-1:], stored["mlp1.0.weight"], stored["mlp1.0.bias"])
    x = F.gelu(F.linear(x, stored["mlp1.1.weight"], stored["mlp1.1.bias"]))
    return F.linear(x, stored["mlp1.3.weight"], stored["mlp1.3.bias"])


def _vision_layer(stored: Stored, at: str, x: Tensor, heads: int) -> Tensor:
    def linear(name: str, value: Tensor) -> Tensor:
        return F.linear(value, stored[f"{at}{name}.weight"], stored[f"{at}{name}.bias"])

    def norm(name: str, value: Tensor) -> Tensor:
        weight, bias = stored[f"{at}{name}.weight"], stored[f"{at}{name}.bias"]
        return F.layer_norm(value, value.shape[-1:], weight, bias, 1e-6)

    count, places, width = x.shape
    fused = linear("attn.qkv", norm("norm1", x)).reshape(count, places, 3, heads, -1)
    q, k, v = fused.permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(count, places, width)
    x = x + linear("attn.proj", mixed) * stored[f"{at}ls1"]
    return x + linear("mlp.fc2", F.gelu(linear("mlp.fc1", norm("norm2", x)))) * stored[f"{at}ls2"]


def internlm_logits(stored: Stored, s: Sizes, ids: Tensor) -> Tensor:
    """[n] ids -> [n, V] logits of InternLM2."""
    x = stored["language_model.model.tok_embeddings.weight"][ids]
    for layer in range(s.layers):
        x = _internlm_layer(stored, f"language_model.model.layers.{layer}.", x, s)
    x = _rms(x, stored["language_model.model.norm.weight"])
    return x @ stored["language_model.output.weight"].T


def _internlm_layer(stored: Stored, at: str, x: Tensor, s: Sizes) -> Tensor:
    queries, width = s.heads // s.keys, s.hidden // s.heads
    fused = _rms(x, stored[f"{at}attention_norm.weight"]) @ stored[f"{at}attention.wqkv.weight"].T
    groups = fused.reshape(len(x), s.keys, queries + 2, width)
    q = _turn(groups[:, :, :queries].reshape(len(x), s.heads, width), s.theta)
    k = _turn(groups[:, :, -2], s.theta).repeat_interleave(queries, 1)
    v = groups[:, :, -1].repeat_interleave(queries, 1)
    mixed = F.scaled_dot_product_attention(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), is_causal=True
    )
    x = x + mixed.transpose(0, 1).reshape(len(x), -1) @ stored[f"{at}attention.wo.weight"].T
    normal = _rms(x, stored[f"{at}ffn_norm.weight"])
    gate, up = (normal @ stored[f"{at}feed_forward.{n}.weight"].T for n in ("w1", "w3"))
    return x + (F.silu(gate) * up) @ stored[f"{at}feed_forward.w2.weight"].T


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    scaled: Tensor = x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
    return scaled * weight


def _turn(x: Tensor, theta: float) -> Tensor:
    """Rotary code of [n, heads, width], halves against each other."""
    half = x.shape[-1] // 2
    angles = torch.arange(len(x))[:, None] / theta ** (torch.arange(half) / half)
    sin, cos = angles.sin()[:, None], angles.cos()[:, None]
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)
