"""Models of the open_clip package as dual towers.

Cherti et al., "Reproducible scaling laws for contrastive language-image learning", CVPR 2023.
Weights are a file of this machine, .safetensors or PyTorch's, of which tensors alone are read.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image as Picture

from retrieval.encoders.hf import as_rows, mean_colour, one_line
from retrieval.encoders.region_modes import VIEWS, RegionMode
from retrieval.encoders.regions import chosen_cells, cover
from retrieval.encoders.text import Vectors
from retrieval.encoders.weights import fingerprint, read_tensors
from stream.crops import Colour
from stream.errors import AssetError, ConfigError
from stream.frame import Image, Mask

PREPROCESSING = 1  # raised when what is done to texts and pictures changes, since vectors would

Pool = Callable[[Any, torch.Tensor, Sequence[Mask]], torch.Tensor]  # network, pixels -> [N, D]


class OpenClipTowers:
    """`DualTowers` of one loaded model; threads may share it."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        """`name` tells the model and its weights."""
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.model, self._tokenizer = model.eval(), tokenizer
        settings = PreprocessCfg(**model.visual.preprocess_cfg)
        self._transform = image_transform_v2(settings, is_train=False)
        size = settings.size
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self._lock = Lock()  # a tokenizer keeps settings of a call in itself
        self.fill: Colour = mean_colour(settings.mean)
        self.id = f"{name}+open_clip{PREPROCESSING}"
        self._pool = _pool_of(model.visual)
        pooled: tuple[RegionMode, ...] = ("pooled",) if self._pool else ()
        self.region_modes: tuple[RegionMode, ...] = (*VIEWS, *pooled)
        self.dim = len(self.texts(["a"])[0])

    def texts(self, texts: Sequence[str]) -> Vectors:
        """[N, D] float32; what is longer than the model reads is cut."""
        with self._lock:
            tokens = self._tokenizer(list(texts))
        with torch.inference_mode():
            return as_rows(self.model.encode_text(tokens.to(self.device)))

    def pictures(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32."""
        with torch.inference_mode():
            return as_rows(self.model.encode_image(self.pixels(images)))

    def under_masks(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32 of the patches under each mask; pictures are squeezed to one size."""
        assert self._pool is not None  # or `pooled` is not among region_modes
        with torch.inference_mode():
            pixels = self.pixels([squeezed(image, self.size) for image in images])
            return as_rows(self._pool(self.model.visual, pixels, masks))

    def pixels(self, images: Sequence[Image]) -> torch.Tensor:
        """[N, 3, h, w] as the network takes them."""
        shown = [self._transform(Picture.fromarray(image)) for image in images]
        return torch.stack(shown).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        device: torch.device = next(self.model.parameters()).device
        return device


def open_clip_towers(
    architecture: str, weights: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> OpenClipTowers:
    """Towers of one of open_clip's architectures with a file of weights.

    Raises ConfigError for an architecture that open_clip has not, and AssetError where the package
    is missing or the file does not fit.
    """
    model, tokenizer = load_open_clip(architecture, weights)
    name = f"{architecture}-{fingerprint([weights])}"
    return OpenClipTowers(model.to(device, dtype), tokenizer, name)


def load_open_clip(architecture: str, weights: Path) -> tuple[Any, Any]:
    """The model and its tokenizer; raises as `open_clip_towers`."""
    package = _package()
    if architecture not in package.list_models():
        raise ConfigError(
            f"expected a model of open_clip, such as ViT-B-32 or ViT-B-16-SigLIP, got "
            f"{architecture!r}; `python -c 'import open_clip; print(open_clip.list_models())'`"
        )
    read_tensors(weights)  # says what is wrong with the file before the package meets it
    try:
        # Weights of a text network would be fetched only to be replaced by the file's.
        model = package.create_model(
            architecture, pretrained=str(weights), weights_only=True, pretrained_text=False
        )
        tokenizer = package.get_tokenizer(architecture)
    except Exception as error:  # torch's, the hub's and open_clip's share no root
        raise AssetError(
            f"the weights in {weights} do not fit open_clip's {architecture}, or its tokenizer "
            f"cannot be fetched: {one_line(error)}"
        ) from error
    return model, tokenizer


def pretrained_file(architecture: str, tag: str) -> Path:
    """The file of one of open_clip's published weights, fetched where it is not in the cache.

    Raises ConfigError for a tag that open_clip does not know of the architecture, and AssetError
    where the file cannot be fetched.
    """
    package = _package()
    settings = package.get_pretrained_cfg(architecture, tag)
    if not settings:
        known = ", ".join(package.list_pretrained_tags_by_model(architecture)) or "none"
        raise ConfigError(
            f"expected published weights of open_clip's {architecture} ({known}) or a file, got "
            f"{tag!r}"
        )
    try:
        return Path(package.download_pretrained(settings))
    except Exception as error:  # of several HTTP clients, which share no root
        raise AssetError(
            f"the weights {tag} of open_clip's {architecture} cannot be fetched: {one_line(error)}"
        ) from error


def squeezed(image: Image, size: tuple[int, int]) -> Image:
    """A picture at `size` (rows, columns), whatever its proportions."""
    larger = image.shape[0] > size[0] or image.shape[1] > size[1]
    method = cv2.INTER_AREA if larger else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)


def _package() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise AssetError("open_clip's models need: pip install 'foveal[clip]'") from error
    return open_clip


def _pool_of(visual: Any) -> Pool | None:
    """How patches under a mask become a vector; None where a network has no such patches."""
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, VisionTransformer):
        plain = visual.attn_pool is None and not visual.final_ln_after_pool
        return _pool_projected if plain and visual.proj is not None else None
    attends = isinstance(visual, TimmModel) and getattr(visual.trunk, "attn_pool", None) is not None
    return _pool_attended if attends else None


def _pool_projected(visual: Any, pixels: torch.Tensor, masks: Sequence[Mask]) -> torch.Tensor:
    """Last patch tokens normalised and projected as the class token is, averaged by their cover."""
    told = visual.forward_intermediates(
        pixels,
        indices=1,
        normalize_intermediates=True,
        intermediates_only=True,
        output_fmt="NLC",
    )
    projected = told["image_intermediates"][-1] @ visual.proj
    covers = np.stack([cover(mask, visual.grid_size).ravel() for mask in masks])
    shares = torch.from_numpy(covers).to(projected)[..., None]
    pooled = (projected * shares).sum(dim=1) / shares.sum(dim=1).clamp_min(1e-6)
    return torch.as_tensor(pooled)


def _pool_attended(visual: Any, pixels: torch.Tensor, masks: Sequence[Mask]) -> torch.Tensor:
    """The attention pooling of the whole picture, over the patches under the mask alone."""
    trunk = visual.trunk
    prefix = trunk.num_prefix_tokens
    rows = []
    for tokens, mask in zip(trunk.forward_features(pixels)[:, prefix:], masks, strict=True):
        chosen = torch.from_numpy(chosen_cells(mask, trunk.patch_embed.grid_size))
        rows.append(trunk.forward_head(tokens[chosen.to(tokens.device)][None])[0])
    return torch.as_tensor(visual.head(torch.stack(rows)))
