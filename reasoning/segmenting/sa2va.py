"""Sa2VA's published checkpoints (ByteDance/Sa2VA-…) on this project's own parts.

Their remote code is not run: the language side loads into transformers' own classes, the grounding
side (`grounding_encoder.sam2_model`, the sam2 package's names) into its SAM 2, `text_hidden_fcs`
into a two-layer perceptron. Read: the Qwen2.5-VL and Qwen3-VL families.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from perception.sam2.convert import convert
from perception.scene.reader import Scene
from reasoning.segmenting.sam2_masks import Sam2WordMasks
from reasoning.segmenting.seg_token import SegParts, SegTokenLMM
from reasoning.vlm.hf import ProcessorModel
from stream.errors import AssetError

Weights = dict[str, torch.Tensor]
LANGUAGE, GROUNDING, PROJECTION = "model.", "grounding_encoder.sam2_model.", "text_hidden_fcs."
PIXELS = (512 * 28 * 28, 2048 * 28 * 28)  # least and most of a picture, Sa2VA's own bounds


def load_sa2va(
    folder: Path,
    scene: Scene,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
    image_size: int | None = None,
    pixels: tuple[int, int] = PIXELS,
) -> SegTokenLMM:
    """A downloaded checkpoint folder -> SegTokenLMM; raises AssetError when it does not fit.

    `image_size`: of SAM 2, 1024 unless given; `pixels`: bounds of what the language side reads.
    """
    from transformers import AutoProcessor

    weights = read_weights(folder)
    try:
        processor = AutoProcessor.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise AssetError(f"expected a processor in {folder}: {error}") from error
    size = {"shortest_edge": pixels[0], "longest_edge": pixels[1]}
    processor.image_processor.size = type(processor.image_processor.size)(**size)
    language = load_language(folder, part(weights, LANGUAGE)).to(device, precision)
    sam2 = convert(part(weights, GROUNDING), image_size).to(device, precision)
    project = projection(part(weights, PROJECTION)).to(device, precision)
    parts = SegParts(folder.name, ProcessorModel(language, processor), project, Sam2WordMasks(sam2))
    return SegTokenLMM(parts, scene)


def load_language(folder: Path, weights: Weights) -> Any:
    """The Qwen model of a checkpoint; its settings are those of Sa2VA's own config.json."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
    )

    families = {
        "qwen3_vl": (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
        "qwen2_5_vl": (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    }
    settings = read_config(folder)
    told = str(settings.get("vision_config", {}).get("model_type", ""))
    family = next((name for name in families if told.startswith(name)), None)
    if family is None:
        raise AssetError(
            f"expected a vision_config of {' or '.join(families)} in {folder}, got {told or 'none'}"
        )
    config_class, model_class = families[family]
    kept = {k: v for k, v in settings.items() if k not in ("model_type", "architectures")}
    kept.pop("auto_map", None)
    model, info = model_class.from_pretrained(
        None,
        config=config_class(**kept),
        state_dict=weights,
        output_loading_info=True,
        dtype=next(iter(weights.values())).dtype,
    )
    missing = [key for key in info["missing_keys"] if key != "lm_head.weight"]
    if missing or info["unexpected_keys"]:
        raise AssetError(
            f"expected the parameters of {model_class.__name__}, missing {sorted(missing)[:3]}, "
            f"unknown {sorted(info['unexpected_keys'])[:3]}"
        )
    return model


def projection(weights: Weights) -> torch.nn.Sequential:
    """`text_hidden_fcs`: Linear, ReLU, Linear."""
    try:
        first, second = weights["0.weight"], weights["2.weight"]
        layers = torch.nn.Sequential(
            torch.nn.Linear(first.shape[1], first.shape[0]),
            torch.nn.ReLU(),
            torch.nn.Linear(second.shape[1], second.shape[0]),
        )
        layers.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise AssetError(f"expected text_hidden_fcs of two linear layers: {error}") from error
    return layers.eval().requires_grad_(False)


def read_weights(folder: Path) -> Weights:
    """All tensors of a folder's safetensors."""
    weights: Weights = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            weights.update(load_file(path))
    except (OSError, SafetensorError) as error:
        raise AssetError(f"expected weights that can be read in {folder}: {error}") from error
    if not weights:
        raise AssetError(f"expected *.safetensors in {folder}, found none")
    return weights


def read_config(folder: Path) -> dict[str, Any]:
    """config.json; raises AssetError."""
    import json

    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssetError(f"expected config.json in {folder}: {error}") from error
    return dict(settings)


def part(weights: Weights, prefix: str) -> Weights:
    """The tensors under a prefix, without it; raises AssetError when there are none."""
    found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    if not found:
        raise AssetError(f"expected parameters under {prefix!r}, found {sorted(weights)[:3]}")
    return found
