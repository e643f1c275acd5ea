"""SAM 2's mask decoder for many objects at once, with the work they share done once.

The weights are those of transformers' `Sam2VideoMaskDecoder` and `EdgeTamVideoMaskDecoder`; the
result is the same up to rounding. Differences in work: keys, values and queries of the picture come
from one product, with the position code's share made once; transposed convolutions are linear
layers whose four pixels stay together to the end, so that only finished masks are put in order, and
the frame's fine features are put in that order instead; the masks' small networks run as one.
"""

from typing import Any

import torch
import torch.nn.functional as F

from perception.sam2.linear import FastLinear, attended, fast
from perception.sam2.transformers_compat import stable_mask
from perception.sam2.types import FrameFeatures, MaskCandidates

FIRST_MASK = 2  # tokens before those of the masks: object score, quality


class Sam2MaskDecoder:
    """Masks of B objects from the frame as their memories see it."""

    def __init__(self, module: Any, positions: torch.Tensor, mixed: bool = False) -> None:
        """`positions` [1, C, h, w]: the picture-wide position code."""
        self._module = module
        code = positions.flatten(2)[0].T
        self._layers = [_TwoWay(layer, code, mixed) for layer in module.transformer.layers]
        final = module.transformer.final_attn_token_to_image
        self._final = _Tokens(final, mixed)
        self._final_norm = module.transformer.layer_norm_final_attn
        self._final_image = _Fused([final.k_proj, final.v_proj], [code, None], mixed)
        self._tokens = torch.cat(
            [module.obj_score_token.weight, module.iou_token.weight, module.mask_tokens.weight]
        )
        self._up1 = _as_linear(module.upscale_conv1, mixed)
        self._up2 = _as_linear(module.upscale_conv2, mixed)
        networks = module.output_hypernetworks_mlps
        layers = zip(*([one.proj_in, *one.layers, one.proj_out] for one in networks), strict=True)
        self._hyper = [
            (
                torch.stack([one.weight.T for one in layer]),
                torch.stack([one.bias[None] for one in layer]),
            )
            for layer in layers
        ]

    def __call__(
        self,
        features: FrameFeatures,
        seen: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor,
        several: bool,
    ) -> MaskCandidates:
        """`seen` [B, C, h, w]; `sparse` [B or 1, 1, K, C] and `dense` [B or 1, C, h, w] prompts.

        `several`: three masks, else the one that the decoder thinks stable.
        """
        module, batch, height = self._module, seen.shape[0], seen.shape[2]
        keys = (seen + dense).flatten(2).transpose(1, 2).contiguous()
        first = torch.cat([self._tokens[None], sparse[:1, 0]], 1).expand(batch, -1, -1)
        if sparse.shape[0] == batch > 1:
            first = torch.cat([self._tokens.expand(batch, -1, -1), sparse[:, 0]], 1)
        tokens = first
        for index, layer in enumerate(self._layers):
            tokens, keys = layer(tokens, keys, first, index == 0)
        key, value = self._final_image(keys)
        tokens = self._final_norm(tokens + self._final(tokens + first, key, value))
        count = module.num_mask_tokens
        shown = tokens[:, FIRST_MASK : FIRST_MASK + count]
        masks = self._masks(keys, shown, features, height)
        quality = module.iou_prediction_head(tokens[:, 1])
        presence = module.pred_obj_score_head(tokens[:, 0])[:, 0]
        if several:
            return MaskCandidates(masks[:, 1:], quality[:, 1:], shown[:, 1:], presence)
        if module.dynamic_multimask_via_stability:
            masks, quality = stable_mask(module, masks, quality)
        return MaskCandidates(masks[:, :1], quality[:, :1], shown[:, :1], presence)

    def _masks(
        self, keys: torch.Tensor, shown: torch.Tensor, features: FrameFeatures, height: int
    ) -> torch.Tensor:
        """[B, hw, C] cells and [B, M, C] mask tokens -> [B, M, 4h, 4w] logits."""
        batch, cells, _ = keys.shape
        width = cells // height
        middle, fine = features.middle[0], features.fine[0]
        near = middle.view(-1, height, 2, width, 2).permute(1, 3, 2, 4, 0).reshape(cells, 4, -1)
        nearer = fine.view(-1, height, 2, 2, width, 2, 2).permute(1, 4, 2, 5, 3, 6, 0)
        nearer = nearer.reshape(cells * 4, 4, -1)
        grown = self._up1(keys).view(batch, cells, 4, -1).add_(near)
        norm = self._module.upscale_layer_norm
        grown = F.layer_norm(grown, grown.shape[-1:], norm.weight, norm.bias, norm.eps)
        grown = F.gelu(grown)
        grown = self._up2(grown).view(batch, cells * 4, 4, -1).add_(nearer)
        pixels = F.gelu(grown).view(batch, cells * 16, -1)
        hidden = shown.transpose(0, 1)  # [M, B, C]
        for number, (weight, bias) in enumerate(self._hyper):
            hidden = torch.baddbmm(bias, hidden, weight)
            if number < len(self._hyper) - 1:
                hidden = F.relu(hidden)
        masks = hidden.transpose(0, 1) @ pixels.transpose(1, 2)
        split = masks.view(batch, -1, height, width, 2, 2, 2, 2)
        return split.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(batch, -1, 4 * height, 4 * width)


class _Tokens:
    """Attention whose keys and values are projected already."""

    def __init__(self, module: Any, mixed: bool) -> None:
        self._mixed = mixed
        self.query, self.out = fast(module.q_proj, mixed=mixed), fast(module.o_proj, mixed=mixed)
        self._heads: int = module.num_attention_heads
        self._scale: float = module.scaling

    def __call__(self, asking: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Any:
        """[B, N, C] queries before their projection."""
        return self.read(self.query(asking), key, value)

    def read(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """[B, N, d] projected queries, keys and values -> [B, N, C]."""
        split = self._split(query), self._split(key), self._split(value)
        found = attended(*split, self._scale, self._mixed)
        return self.out(found.transpose(1, 2).flatten(2))

    def _split(self, projected: torch.Tensor) -> torch.Tensor:
        batch, length, _ = projected.shape
        return projected.view(batch, length, self._heads, -1).transpose(1, 2)


class _Fused:
    """Several projections of the same tokens as one product, each with a fixed code added before.

    W (x + p) + b = W x + (W p + b): the second part is made once.
    """

    def __init__(self, layers: list[Any], codes: list[torch.Tensor | None], mixed: bool) -> None:
        self._linear = FastLinear(
            torch.cat([layer.weight for layer in layers]),
            torch.cat([layer.bias for layer in layers]),
            mixed=mixed,
        )
        length = next(len(code) for code in codes if code is not None)
        shares = [
            layer.weight.new_zeros(length, len(layer.weight))
            if code is None
            else code @ layer.weight.T
            for layer, code in zip(layers, codes, strict=True)
        ]
        self._code = torch.cat(shares, 1)
        self._widths = [len(layer.weight) for layer in layers]

    def __call__(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """[B, L, C] -> one [B, L, d] for each layer."""
        return torch.split(self._linear(tokens).add_(self._code), self._widths, dim=2)


class _TwoWay:
    """One layer: tokens among themselves, tokens look at the picture, the picture at tokens."""

    def __init__(self, layer: Any, code: torch.Tensor, mixed: bool) -> None:
        self._own = layer.self_attn
        look, back = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        self._look, self._back = _Tokens(look, mixed), _Tokens(back, mixed)
        self._image = _Fused([look.k_proj, look.v_proj, back.q_proj], [code, None, code], mixed)
        self._back_key, self._back_value = back.k_proj, back.v_proj
        self._mlp = layer.mlp
        self._norms = (layer.layer_norm1, layer.layer_norm2, layer.layer_norm3, layer.layer_norm4)

    def __call__(
        self, tokens: torch.Tensor, keys: torch.Tensor, first: torch.Tensor, initial: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`first`: the tokens as they entered the decoder, which is their position code."""
        asked = tokens if initial else tokens + first
        found = self._own(asked[:, None], asked[:, None], tokens[:, None])[0][:, 0]
        tokens = self._norms[0](found if initial else tokens + found)
        key, value, query = self._image(keys)
        tokens = self._norms[1](tokens + self._look(tokens + first, key, value))
        tokens = self._norms[2](tokens + self._mlp(tokens))
        back = self._back_key(tokens + first), self._back_value(tokens)
        keys = self._norms[3](self._back.read(query, *back).add_(keys))
        return tokens, keys


def _as_linear(conv: Any, mixed: bool) -> FastLinear:
    """A transposed 2x2 convolution of stride 2 as a linear layer [..., C] -> [..., 2 * 2 * C']."""
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return FastLinear(weight, conv.bias.repeat(4), mixed=mixed)
