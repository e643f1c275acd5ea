"""TinyViT as MobileSAM has it: a picture in, SAM's image embedding out, at any size.

Wu et al., "TinyViT", 2022; Zhang et al., "Faster Segment Anything", 2023: the last merging does not
halve, and SAM's neck follows, so that a cell stands for 16 pixels. The exported graph takes nothing
but 1,024 x 1,024 pixels; the same weights in torch take what is there and leave the padding out.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from perception.masks.onnx_weights import OnnxWeights, read_onnx
from stream.errors import AssetError

CELL = 16  # pixels a side that one cell of the embedding stands for
CHANNELS = 256
WINDOWS = (0, 7, 14, 7)  # cells a side that attend to each other, of each stage; 0: convolutions
DEPTHS = (2, 2, 6, 2)
HEAD = 32  # channels of one attention head
Layer = Callable[[Tensor], Tensor]


class TinyViT:
    """The encoder; stateless, so threads may share it."""

    def __init__(self, weights: OnnxWeights) -> None:
        """Raises AssetError when the file is of another network."""
        self._weights = weights
        self._layers: list[Layer] = [
            self._conv("/patch_embed/seq/seq.0", stride=2),
            F.gelu,
            self._conv("/patch_embed/seq/seq.2", stride=2),
        ]
        for stage, (depth, window) in enumerate(zip(DEPTHS, WINDOWS, strict=True)):
            for number in range(depth):
                block = f"/layers.{stage}/blocks.{number}"
                self._layers.append(self._attend(block, window) if window else self._mb(block))
            if stage < len(DEPTHS) - 1:
                # SAM wants a cell of 16 pixels: the last merging keeps the size.
                self._layers.append(self._merge(f"/layers.{stage}/downsample", 2 - stage // 2))
        self._layers += self._neck()
        del self._weights

    @classmethod
    def load(cls, path: Path) -> "TinyViT":
        """Read MobileSAM's encoder out of an ONNX file; raises AssetError when it does not fit."""
        try:
            return cls(read_onnx(path))
        except (ValueError, RuntimeError) as error:
            raise AssetError(f"expected MobileSAM's image encoder in {path}: {error}") from error

    def __call__(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, W] float32, normalised, sides of a multiple of 16 -> [B, 256, H/16, W/16]."""
        with torch.inference_mode():
            for layer in self._layers:
                pictures = layer(pictures)
            return pictures

    def _of(self, node: str, parts: int = 1) -> list[Tensor]:
        found = self._weights.of(node)
        if len(found) != parts:
            raise AssetError(f"expected {parts} constants at {node}, got {len(found)}")
        return [torch.from_numpy(np.array(one, np.float32)) for one in found]

    def _conv(self, node: str, stride: int = 1) -> Layer:
        """A convolution with its folded batch norm."""
        weight, bias = self._of(f"{node}/c/Conv", 2)
        groups = 1 if weight.shape[1] > 1 or weight.shape[0] == 1 else weight.shape[0]
        padding = weight.shape[-1] // 2
        weight = weight.contiguous(memory_format=torch.channels_last)
        return lambda x: F.conv2d(x, weight, bias, stride, padding, 1, groups)

    def _linear(self, node: str) -> Layer:
        (weight,), (bias,) = self._of(f"{node}/MatMul"), self._of(f"{node}/Add")
        weight = weight.T.contiguous()
        return lambda x: F.linear(x, weight, bias)

    def _norm(self, node: str) -> Layer:
        (weight,), (bias,) = self._of(f"{node}/Mul"), self._of(f"{node}/Add_1")
        return lambda x: F.layer_norm(x, weight.shape, weight, bias, 1e-5)

    def _mb(self, block: str) -> Layer:
        """A MobileNet block."""
        grow, look, shrink = (self._conv(f"{block}/conv{number}") for number in (1, 2, 3))
        return lambda x: F.gelu(x + shrink(F.gelu(look(F.gelu(grow(x))))))

    def _merge(self, node: str, stride: int) -> Layer:
        first, last = self._conv(f"{node}/conv1"), self._conv(f"{node}/conv3")
        look = self._conv(f"{node}/conv2", stride)
        return lambda x: last(F.gelu(look(F.gelu(first(x)))))

    def _attend(self, block: str, window: int) -> Layer:
        """Attention in windows, a look around, and two pointwise layers."""
        norm, mix = self._norm(f"{block}/attn/norm"), self._linear(f"{block}/attn/qkv")
        out, look = self._linear(f"{block}/attn/proj"), self._conv(f"{block}/local_conv")
        inner = self._norm(f"{block}/mlp/norm")
        grow, shrink = self._linear(f"{block}/mlp/fc1"), self._linear(f"{block}/mlp/fc2")
        (bias,) = self._of(f"{block}/attn/Add")  # [heads, window^2, window^2]
        bias = bias[None]  # torch's quick attention on a processor takes a mask of four axes only

        def attend(x: Tensor) -> Tensor:
            parts, grid = _split(x.permute(0, 2, 3, 1), window)
            shown = mix(norm(parts)).view(*parts.shape[:2], -1, 3 * HEAD).transpose(1, 2)
            query, key, value = torch.split(shown, HEAD, -1)
            seen = F.scaled_dot_product_attention(query, key, value, bias)
            x = x + _join(out(seen.transpose(1, 2).flatten(2)), grid, window).permute(0, 3, 1, 2)
            cells = look(x).permute(0, 2, 3, 1)
            return (cells + shrink(F.gelu(grow(inner(cells))))).permute(0, 3, 1, 2)

        return attend

    def _neck(self) -> list[Layer]:
        """SAM's two convolutions, each with a norm over channels."""
        layers: list[Layer] = []
        for number in (0, 2):
            (weight,) = self._of(f"/neck/neck.{number}/Conv")
            scale, shift = (
                self._of(f"/neck/neck.{number + 1}/{part}")[0].flatten()
                for part in ("Mul", "Add_1")
            )
            layers += [_plain(weight), _over_channels(scale, shift)]
        return layers


def _plain(weight: Tensor) -> Layer:
    return lambda x: F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def _over_channels(scale: Tensor, shift: Tensor) -> Layer:
    def norm(x: Tensor) -> Tensor:
        cells = F.layer_norm(x.permute(0, 2, 3, 1), scale.shape, scale, shift, 1e-6)
        return cells.permute(0, 3, 1, 2)

    return norm


def _split(cells: Tensor, window: int) -> tuple[Tensor, tuple[int, ...]]:
    """[B, H, W, C] -> windows [N, window^2, C], padded with zeros, and the shape before."""
    batch, height, width, channels = cells.shape
    down, right = -height % window, -width % window
    cells = F.pad(cells, (0, 0, 0, right, 0, down))
    rows, cols = (height + down) // window, (width + right) // window
    parts = cells.reshape(batch, rows, window, cols, window, channels).transpose(2, 3)
    return parts.reshape(-1, window * window, channels), (batch, height, width, channels)


def _join(parts: Tensor, shape: tuple[int, ...], window: int) -> Tensor:
    """What `_split` took apart."""
    batch, height, width, channels = shape
    rows, cols = -(-height // window), -(-width // window)
    cells = parts.reshape(batch, rows, cols, window, window, channels).transpose(2, 3)
    whole = cells.reshape(batch, rows * window, cols * window, channels)
    return whole[:, :height, :width]
