"""Alpha-CLIP: a CLIP whose network of pictures reads a mask as a fourth channel.

Sun et al., "Alpha-CLIP: A CLIP Model Focusing on Wherever You Want", CVPR 2024. Its published
weights are for research alone: a file of the user's is read upon a CLIP of open_clip's (of its
`-quickgelu` architectures with OpenAI's weights, which it was trained from), and none is fetched.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retrieval.encoders.hf import as_rows
from retrieval.encoders.open_clip import OpenClipTowers, load_open_clip, squeezed
from retrieval.encoders.region_modes import VIEWS
from retrieval.encoders.regions import cover
from retrieval.encoders.text import Vectors
from retrieval.encoders.weights import Tensors, fingerprint, read_tensors
from stream.errors import AssetError
from stream.frame import Image, Mask

ALPHA_MEAN, ALPHA_STD = 0.5, 0.26  # of a mask 0..1, as it was trained
ALPHA = "conv1_alpha.weight"
# It keeps a joint projection as a linear layer, where CLIP has two plain parameters.
_PROJECTION = re.compile(r"attn\.in_proj\.(weight|bias)$")


class AlphaClipTowers(OpenClipTowers):
    """`DualTowers` whose pictures are read with their masks."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        """`model`: one that `with_alpha` changed."""
        super().__init__(model, tokenizer, name)
        self.region_modes = (*VIEWS, "alpha")

    def pictures(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32, all of each picture meant."""
        return self._read(images, [np.ones(self.size, np.float32)] * len(images))

    def under_masks(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32; pictures and masks are squeezed to one size."""
        shown = [squeezed(image, self.size) for image in images]
        return self._read(shown, [cover(mask, self.size) for mask in masks])

    def _read(self, images: Sequence[Image], meant: Sequence[np.ndarray[Any, Any]]) -> Vectors:
        pixels = self.pixels(images)
        alpha = (torch.from_numpy(np.stack(meant)) - ALPHA_MEAN) / ALPHA_STD
        both = torch.cat([pixels, alpha[:, None].to(pixels)], dim=1)
        with torch.inference_mode():
            return as_rows(self.model.encode_image(both))


def open_alpha_clip(
    architecture: str, weights: Path, alpha: Path, device: str = "cpu"
) -> AlphaClipTowers:
    """Towers of an open_clip model whose network of pictures is replaced by an Alpha-CLIP file's.

    Raises ConfigError for an unknown architecture and AssetError for files that do not fit.
    """
    model, tokenizer = load_open_clip(architecture, weights)
    with_alpha(model, read_tensors(alpha), alpha)
    name = f"alpha-{architecture}-{fingerprint([weights, alpha])}"
    return AlphaClipTowers(model.to(device), tokenizer, name)


def with_alpha(model: Any, tensors: Tensors, source: Path) -> None:
    """Give a CLIP the weights of an Alpha-CLIP network of pictures; raises AssetError.

    Two convolutions that are summed are one over four channels.
    """
    told = {_PROJECTION.sub(r"attn.in_proj_\1", _bare(name)): v for name, v in tensors.items()}
    alpha, plain = told.pop(ALPHA, None), told.get("conv1.weight")
    if alpha is None or plain is None or alpha.shape != (*plain.shape[:1], 1, *plain.shape[2:]):
        raise AssetError(
            f"expected {ALPHA} beside conv1.weight in {source}, as Alpha-CLIP's files of ViT "
            f"networks have it, got {', '.join(list(told)[:3]) or 'nothing'} …"
        )
    told["conv1.weight"] = torch.cat([plain, alpha], dim=1)
    visual = model.visual
    settings = {name: getattr(visual.conv1, name) for name in ("kernel_size", "stride")}
    visual.conv1 = torch.nn.Conv2d(4, visual.conv1.out_channels, bias=False, **settings)
    try:
        visual.load_state_dict({name: tensor.float() for name, tensor in told.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise AssetError(f"the Alpha-CLIP weights in {source} do not fit: {reason}") from error


def _bare(name: str) -> str:
    return name.removeprefix("visual.")
