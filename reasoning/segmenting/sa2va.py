"""Sa2VA's published checkpoints (ByteDance/Sa2VA-…) on this project's own parts.

Their remote code is not run: the language side loads into transformers' own classes, the grounding
side (`grounding_encoder.sam2_model`, the sam2 package's names) into its SAM 2, `text_hidden_fcs`
into a two-layer perceptron. Read: the families on Qwen2.5-VL and Qwen3-VL, and those on InternVL
2.5 and 3 (reasoning/segmenting/internvl.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from perception.device import resolve_device
from perception.sam2.convert import convert
from perception.scene.reader import Scene
from reasoning.generation.config import VlmConfig
from reasoning.segmenting.answering import SegLanguage
from reasoning.segmenting.checkpoint import Weights, fit, part, read_config, read_weights
from reasoning.segmenting.internvl import PARTS, load_internvl
from reasoning.segmenting.internvl_language import TILES, InternVlLanguage, load_tokenizer
from reasoning.segmenting.marked_picture import MarkedPictures
from reasoning.segmenting.sam2_masks import Sam2WordMasks, is_mixed
from reasoning.segmenting.seg_token import SegParts, SegTokenLMM
from reasoning.vlm.hf import ProcessorModel
from reasoning.vlm.hub import model_folder
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local.memory import check_memory
from stream.errors import AssetError, ConfigError

LANGUAGE, GROUNDING, PROJECTION = "model.", "grounding_encoder.sam2_model.", "text_hidden_fcs."


@dataclass(frozen=True, slots=True)
class PictureSizes:
    """How large pictures are read; all as Sa2VA does unless given."""

    sam2: int | None = None  # px, a side of SAM 2's square; None is 1024
    pixels: tuple[int, int] = (512 * 28 * 28, 2048 * 28 * 28)  # least and most that Qwen reads
    tiles: int = TILES  # at most that InternVL reads, beside the whole


def load_sa2va(
    name: HubName,
    scene: Scene,
    config: VlmConfig | None = None,
    sizes: PictureSizes | None = None,
) -> SegTokenLMM:
    """A checkpoint of the hub, or of a folder -> SegTokenLMM.

    `config`: device and number type of the language side; SAM 2's weights keep float32, and it
    reads pictures in mixed precision where it tracks so (`is_mixed`). Raises AssetError or
    ConfigError with what to do.
    """
    config, sizes = config or VlmConfig(), sizes or PictureSizes()
    if config.quantise != "none" or config.device_map is not None:
        raise ConfigError(
            "expected reasoning.vlm with quantise: none and without a device_map for sa2va:, whose "
            "grounding needs whole states on one device"
        )
    folder, where = model_folder(name), resolve_device(config.device, config.dtype)
    device, precision = torch.device(where.name), where.dtype
    settings = read_config(folder)
    check_memory(folder, torch.empty((), dtype=precision).element_size(), device)
    weights = read_weights(folder)
    if "llm_config" in settings:
        language = _internvl(folder, settings, weights, device, precision, sizes.tiles)
    else:
        language = _qwen(folder, settings, weights, device, precision, sizes.pixels)
    sam2 = convert(part(weights, GROUNDING), sizes.sam2).to(device, torch.float32)
    project = Projection(part(weights, PROJECTION)).to(device, torch.float32)
    called = name.id or folder.name
    masks = Sam2WordMasks(sam2, mixed=is_mixed(where))
    return SegTokenLMM(SegParts(called, language, project, masks), scene)


def _internvl(
    folder: Path,
    settings: dict[str, Any],
    weights: Weights,
    device: torch.device,
    precision: torch.dtype,
    tiles: int,
) -> SegLanguage:
    kept = {key: value for key, value in weights.items() if key.startswith(PARTS)}
    model = load_internvl(settings, kept, precision)
    return InternVlLanguage(model.to(device), load_tokenizer(folder), tiles)


def _qwen(
    folder: Path,
    settings: dict[str, Any],
    weights: Weights,
    device: torch.device,
    precision: torch.dtype,
    pixels: tuple[int, int],
) -> SegLanguage:
    from transformers import AutoProcessor

    model = load_qwen(folder, settings, part(weights, LANGUAGE), precision)
    try:
        processor = AutoProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise AssetError(f"expected a processor in {folder}: {error}") from error
    size = {"shortest_edge": pixels[0], "longest_edge": pixels[1]}
    processor.image_processor.size = type(processor.image_processor.size)(**size)
    return MarkedPictures(ProcessorModel(model.to(device), processor))


def load_qwen(
    folder: Path, settings: dict[str, Any], weights: Weights, precision: torch.dtype
) -> Any:
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
    vision = settings.get("vision_config")
    told = str(vision.get("model_type", "")) if isinstance(vision, dict) else ""
    family = next((name for name in families if told.startswith(name)), None)
    if family is None:
        raise AssetError(
            f"expected an llm_config (InternVL) or a vision_config of {' or '.join(families)} "
            f"in {folder}, got {told or 'none'}"
        )
    config_class, model_class = families[family]
    skipped = ("model_type", "architectures", "auto_map")
    kept = {key: value for key, value in settings.items() if key not in skipped}
    return fit(model_class, config_class(**kept), weights, precision)


class Projection(torch.nn.Module):
    """`text_hidden_fcs`: Linear, ReLU, Linear, in float32; [n, D] states -> [n, C] words."""

    def __init__(self, weights: Weights) -> None:
        """Raises AssetError for anything but two linear layers."""
        super().__init__()
        try:
            first, second = weights["0.weight"], weights["2.weight"]
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(first.shape[1], first.shape[0]),
                torch.nn.ReLU(),
                torch.nn.Linear(second.shape[1], second.shape[0]),
            )
            self.layers.load_state_dict(weights)
        except (KeyError, RuntimeError) as error:
            raise AssetError(f"expected text_hidden_fcs of two linear layers: {error}") from error
        self.eval().requires_grad_(False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """See the class."""
        words: torch.Tensor = self.layers(states.float())
        return words
