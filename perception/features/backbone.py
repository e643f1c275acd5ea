"""The shared image backbone: one EfficientNet-Lite2 pass per frame for everything that looks.

Tan & Le, "EfficientNet", 2019; the Lite variant has ReLU6 and no squeeze-and-excite. The published
state dict maps by key order onto timm's `tf_efficientnet_lite2` (mean 127, std 128, 260 px).
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
import torch.nn.functional as F
from timm.data import ImageNetInfo
from timm.layers import BatchNormAct2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from perception.device import CPU, Device
from perception.features.fused_layers import lite_stages
from perception.features.preprocess import shrink, to_rows
from stream.errors import AssetError
from stream.frame import Image, Mask

MEAN, STD = 127.0, 128.0
STRIDE = 8  # of `Features.dense`, in input pixels
CROP_PX = 260
CROP_BATCH = 8  # crops at once: bounds memory, and costs nothing on a CPU
DENSE_BLOCKS = (2, 4)  # block outputs at strides 8 and 16

Posteriors = npt.NDArray[np.float32]  # [N, 1000], each row sums to 1


class Features:
    """What one backbone pass gives for one frame; the last blocks run when `top` is first read."""

    __slots__ = ("_top", "dense", "image_size")

    def __init__(
        self,
        dense: torch.Tensor,
        top: torch.Tensor | Callable[[], torch.Tensor],
        image_size: tuple[int, int],
    ) -> None:
        self.dense = dense  # [168, h, w] float32, L2-normalised over channels, stride 8
        self.image_size = image_size  # height, width of the frame in pixels
        self._top = top

    @property
    def top(self) -> torch.Tensor:
        """[1280, h32, w32] float32 head features before pooling."""
        top = self._top  # read once: another thread may make it meanwhile, which gives the same
        if not isinstance(top, torch.Tensor):
            top = self._top = top()
        return top


class Backbone:
    """EfficientNet-Lite2 with its multi-scale features and its ImageNet classifier."""

    def __init__(self, model: Any, device: Device = CPU, height: int = 256) -> None:
        self._model = _fuse(model.eval()).to(device.name)
        self._model.to(memory_format=torch.channels_last)
        self.device = device
        self.dtype = device.dtype  # of the shared pass; features are float32 again
        same = self.dtype is torch.float32
        quick = self._model if same else copy.deepcopy(self._model).to(self.dtype)
        self._stem, *self._blocks, self._last = lite_stages(quick)
        self._height = height
        info = ImageNetInfo()
        self.class_synonyms: tuple[tuple[str, ...], ...] = tuple(
            tuple(name.strip() for name in info.index_to_description(index).split(","))
            for index in range(1000)
        )
        self.class_names = tuple(names[0] for names in self.class_synonyms)

    @classmethod
    def load(cls, weights: Path, device: Device = CPU, height: int = 256) -> "Backbone":
        """Read the pinned `.pth` (tensors only); raises AssetError when it does not fit."""
        model = timm.create_model("tf_efficientnet_lite2", pretrained=False)
        names = list(model.state_dict())
        try:
            published = torch.load(weights, weights_only=True, map_location="cpu")
            model.load_state_dict(dict(zip(names, published.values(), strict=True)))
        except (OSError, RuntimeError, ValueError) as error:
            raise AssetError(
                f"expected EfficientNet-Lite2 weights of {len(names)} tensors in {weights}: "
                f"{error}; run `foveal models pull efficientnet-lite2`"
            ) from error
        return cls(model, device, height)

    @classmethod
    def random(cls, seed: int = 0, device: Device = CPU) -> "Backbone":
        """Untrained weights, for tests of shape and contract."""
        torch.manual_seed(seed)
        return cls(timm.create_model("tf_efficientnet_lite2", pretrained=False), device)

    @property
    def classifier_weight(self) -> torch.Tensor:
        """[1000, 1280] float32 weights of the last layer, for class activation maps."""
        weight: torch.Tensor = self._model.classifier.weight.detach()
        return weight

    def features(self, image: Image, height: int | None = None) -> Features:
        """One pass over a [H, W, 3] uint8 RGB frame, resized to `height` rows (multiple of 32)."""
        with torch.inference_mode():
            tensor = self._tensor([to_rows(image, height or self._height)]).to(self.dtype)
            outputs = self._forward(tensor)
            last = outputs[-1]
            base = outputs[0]
            rest = [
                F.interpolate(out, size=base.shape[-2:], mode="bilinear", align_corners=False)
                for out in outputs[1:]
            ]
            parts = [F.normalize(out.float(), dim=1) for out in (base, *rest)]
            dense = F.normalize(torch.cat(parts, dim=1), dim=1)[0].contiguous()
            size = (image.shape[0], image.shape[1])
            return Features(dense, lambda: self._head(last), size)

    def pooled(self, images: Sequence[Image]) -> torch.Tensor:
        """[N, 1280] float32 pooled features of whole pictures, each squeezed into a square."""
        crops = [shrink(image, (CROP_PX, CROP_PX)) for image in images]
        rows = [
            self._pool(self._tensor(crops[start : start + CROP_BATCH]))
            for start in range(0, len(crops), CROP_BATCH)
        ]
        none = self.classifier_weight.new_zeros(0, self.classifier_weight.shape[1])
        return torch.cat(rows) if rows else none

    def _pool(self, tensor: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            hidden = self._stem(tensor.to(self.dtype))
            for block in self._blocks:
                hidden = block(hidden)
            return self._last(hidden).float().mean(dim=(2, 3))

    def class_posteriors(self, pooled: torch.Tensor) -> Posteriors:
        """[N, 1280] pooled features -> [N, 1000]."""
        with torch.inference_mode():
            logits = self._model.classifier(pooled.to(self.device.name))
            return np.asarray(logits.softmax(-1).cpu().numpy(), dtype=np.float32)

    def _forward(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of DENSE_BLOCKS; the blocks after the last of them are left to `_head`."""
        hidden, outputs = self._stem(tensor), []
        for index, block in enumerate(self._blocks[: DENSE_BLOCKS[-1] + 1]):
            hidden = block(hidden)
            if index in DENSE_BLOCKS:
                outputs.append(hidden)
        return outputs

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            for block in self._blocks[DENSE_BLOCKS[-1] + 1 :]:
                hidden = block(hidden)
            return self._last(hidden)[0].float()

    def _tensor(self, images: Sequence[Image]) -> torch.Tensor:
        stack = torch.from_numpy(np.stack(images)).to(self.device.name)
        tensor = (stack.permute(0, 3, 1, 2).float() - MEAN) / STD
        return tensor.contiguous(memory_format=torch.channels_last)


def _fuse(model: Any) -> Any:
    """Fold every batch normalisation into the convolution before it; its activation stays."""
    for module in list(model.modules()):
        children = list(module.named_children())
        for (name, conv), (next_name, norm) in itertools.pairwise(children):
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                plain = torch.nn.BatchNorm2d(norm.num_features, eps=norm.eps)
                plain.load_state_dict(norm.state_dict())
                setattr(module, name, fuse_conv_bn_eval(conv, plain.eval()))
                setattr(module, next_name, norm.act)
    return model


def masked_mean(top: torch.Tensor, mask: Mask) -> torch.Tensor:
    """Average of [C, h, w] under a [H, W] mask; the whole map when the mask is too small to see."""
    weight = torch.from_numpy(mask.astype(np.float32))[None, None].to(top.device)
    weight = F.adaptive_avg_pool2d(weight, (top.shape[-2], top.shape[-1]))[0, 0]
    total = weight.sum()
    if float(total) < 1e-3:
        return top.mean(dim=(1, 2))
    return (top * weight).sum(dim=(1, 2)) / total
