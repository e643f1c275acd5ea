"""CLIP, MetaCLIP 2, SigLIP and SigLIP 2 through transformers, as dual towers.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021;
Chuang et al., "MetaCLIP 2", 2025; Zhai et al., "Sigmoid Loss for Language Image Pre-Training",
2023; Tschannen et al., "SigLIP 2", 2025. The family is told by `model_type` of config.json; weights
are read from safetensors alone and no code of a repository is run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image as Picture
from safetensors import SafetensorError

from retrieval.encoders.region_modes import VIEWS, RegionMode
from retrieval.encoders.regions import chosen_cells, cover
from retrieval.encoders.text import Vectors
from retrieval.encoders.weights import fingerprint
from stream.crops import Colour
from stream.errors import AssetError
from stream.frame import Image, Mask

PREPROCESSING = 1  # raised when what is done to texts and pictures changes, since vectors would
BROKEN = (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError, SafetensorError)

Tokens = torch.Tensor  # [cells, C] last patch tokens of one picture
Pool = Callable[[Any, Tokens, Mask, tuple[int, int]], torch.Tensor]  # model, …, grid -> [D]


@dataclass(frozen=True, slots=True)
class Family:
    """How one kind of model pads texts, and pools patches under a mask."""

    padding: bool | str
    pool: Pool
    prefix: int = 0  # tokens of a picture that are no patches
    own_grid: bool = False  # pictures keep their proportions, each with a grid of its own


def _pool_projected(model: Any, tokens: Tokens, mask: Mask, grid: tuple[int, int]) -> torch.Tensor:
    """Patch tokens normalised and projected as the class token is, averaged by their cover."""
    shares = torch.from_numpy(cover(mask, grid).reshape(-1, 1)).to(tokens)
    projected = model.visual_projection(model.vision_model.post_layernorm(tokens))
    return torch.as_tensor((projected * shares).sum(dim=0) / shares.sum().clamp_min(1e-6))


def _pool_attended(model: Any, tokens: Tokens, mask: Mask, grid: tuple[int, int]) -> torch.Tensor:
    """The attention pooling of the whole picture, over the patches under the mask alone."""
    chosen = tokens[torch.from_numpy(chosen_cells(mask, grid)).to(tokens.device)]
    if not model.vision_model.use_head:
        return chosen.mean(dim=0)
    return torch.as_tensor(model.vision_model.head(chosen[None])[0])


FAMILIES: Mapping[str, Family] = {
    "clip": Family(True, _pool_projected, prefix=1),
    "metaclip_2": Family(True, _pool_projected, prefix=1),
    "siglip": Family("max_length", _pool_attended),
    "siglip2": Family("max_length", _pool_attended, own_grid=True),
}


class HfTowers:
    """`DualTowers` of one loaded model of `FAMILIES`; threads may share it."""

    region_modes: tuple[RegionMode, ...] = (*VIEWS, "pooled")

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        """`name` tells the weights."""
        self._model, self._processor = model.eval(), processor
        self._family = FAMILIES[model.config.model_type]
        self._lock = Lock()  # a tokenizer keeps the padding of a call in itself
        self._length = int(model.config.text_config.max_position_embeddings)
        self.id = f"{name}+hf{PREPROCESSING}"
        self.fill: Colour = mean_colour(processor.image_processor.image_mean)
        self.dim = len(self.texts(["a"])[0])

    def texts(self, texts: Sequence[str]) -> Vectors:
        """[N, D] float32; what is longer than the model reads is cut."""
        with self._lock:
            tokens = self._processor.tokenizer(
                list(texts),
                padding=self._family.padding,
                truncation=True,
                max_length=self._length,
                return_tensors="pt",
            )
        known = ("input_ids", "attention_mask")
        kept = {name: tokens[name].to(self._model.device) for name in known if name in tokens}
        with torch.inference_mode():
            return as_rows(self._model.get_text_features(**kept).pooler_output)

    def pictures(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32."""
        with torch.inference_mode():
            inputs = self._inputs(images)
            return as_rows(self._model.get_image_features(**inputs).pooler_output)

    def under_masks(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32 of the patches under each mask.

        Pictures of a model with one fixed size are squeezed into it: cut to the middle, as CLIP
        does, they would lose regions at their edges.
        """
        if not self._family.own_grid:
            side = int(self._model.config.vision_config.image_size)
            images = [_squeezed(image, side) for image in images]
        with torch.inference_mode():
            inputs = self._inputs(images)
            hidden = self._model.get_image_features(**inputs).last_hidden_state
            grids = self._grids(inputs, hidden.shape[1] - self._family.prefix)
            rows = []
            for tokens, mask, (height, width) in zip(hidden, masks, grids, strict=True):
                cells = tokens[self._family.prefix :][: height * width]
                rows.append(self._family.pool(self._model, cells, mask, (height, width)))
            return as_rows(torch.stack(rows))

    def _inputs(self, images: Sequence[Image]) -> dict[str, torch.Tensor]:
        # Pillow's pictures say which axis is colour; an array three pixels high would not.
        pictures = [Picture.fromarray(image) for image in images]
        inputs = self._processor.image_processor(images=pictures, return_tensors="pt")
        pixels = inputs["pixel_values"].to(self._model.dtype)
        return {name: tensor.to(self._model.device) for name, tensor in inputs.items()} | {
            "pixel_values": pixels.to(self._model.device)
        }

    def _grids(self, inputs: Mapping[str, torch.Tensor], cells: int) -> list[tuple[int, int]]:
        if self._family.own_grid:
            return [(int(rows), int(cols)) for rows, cols in inputs["spatial_shapes"]]
        side = round(cells**0.5)
        return [(side, side)] * len(inputs["pixel_values"])


def open_hf(
    folder: Path, name: str, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> HfTowers:
    """Towers from a folder as `save_pretrained` writes it, processor included.

    `name` is what the encoder is called beside its weights' fingerprint. Raises AssetError with
    what to do where the folder holds anything else.
    """
    from transformers import AutoModel, AutoProcessor

    check_family(folder, name)
    try:
        model, told = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
        processor = AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except BROKEN as error:
        raise AssetError(f"the encoder {name} cannot be loaded: {one_line(error)}") from error
    if told["missing_keys"] or told.get("mismatched_keys"):
        missing = sorted(map(str, [*told["missing_keys"], *told.get("mismatched_keys", ())]))
        raise AssetError(
            f"expected all parameters of {type(model).__name__} in {folder}, {len(missing)} are "
            f"missing, such as {', '.join(missing[:3])}; fetch it again"
        )
    if not all(hasattr(processor, part) for part in ("tokenizer", "image_processor")):
        raise AssetError(
            f"expected a processor of texts and pictures in {folder}, got "
            f"{type(processor).__name__}; are preprocessor_config.json and the tokenizer there?"
        )
    weights = fingerprint(folder.glob("*.safetensors"))
    return HfTowers(model.to(device), processor, f"{name}-{weights}")


def check_family(folder: Path, name: str) -> None:
    """Raises AssetError unless config.json names a model of `FAMILIES`."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(
            f"expected a model that transformers knows in {name}: {one_line(error)}. Models that "
            "bring their own code are not run"
        ) from error
    if config.model_type not in FAMILIES:
        raise AssetError(
            f"expected a model of the kinds {', '.join(FAMILIES)} in {name}, got "
            f"{config.model_type}; take one such as google/siglip2-base-patch16-256"
        )


def mean_colour(mean: Sequence[float]) -> Colour:
    """Channel means 0..1 as a colour."""
    red, green, blue = (round(255 * float(value)) for value in mean)
    return red, green, blue


def as_rows(tensor: torch.Tensor) -> Vectors:
    """[N, D] of any float type on any device -> float32."""
    return np.asarray(tensor.detach().float().cpu().numpy(), np.float32)


def one_line(error: BaseException) -> str:
    """An error's text without line breaks, at most 300 characters of it."""
    return " ".join(str(error).split())[:300]


def _squeezed(image: Image, side: int) -> Image:
    larger = max(image.shape[:2]) > side
    method = cv2.INTER_AREA if larger else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8)
