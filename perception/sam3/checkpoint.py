"""Which SAM 3 checkpoints are read, and why others are not: nothing is loaded that does not fit.

Carion et al., "SAM 3: Segment Anything with Concepts", arXiv 2511.16719. Published weights hold a
phrase segmenter and a tracker together (`sam3_video`); each part also has a folder of its own.
"""

import re
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError

from stream.errors import AssetError, ConfigError
from stream.hub_refusals import refusal

Part = Literal["phrases", "tracker"]

WHOLE = "sam3_video"  # both parts in one checkpoint
PARTS: dict[Part, dict[str, str]] = {  # model type -> class in transformers
    "phrases": {"sam3": "Sam3Model", "sam3_lite_text": "Sam3LiteTextModel"},
    "tracker": {"sam3_tracker_video": "Sam3TrackerVideoModel"},
}
SECTIONS: dict[Part, str] = {"phrases": "detector_config", "tracker": "tracker_config"}
MULTIPLEXED = re.compile(r"sam3[._p]1(?!\d)", re.IGNORECASE)  # SAM 3.1 by its names
NAMED = 3  # parameters that a message lists


def load_part(name: str | Path, part: Part, image_size: int | None = None) -> Any:
    """One part of the checkpoint at a hub id or in a folder, in float32 on the CPU.

    `image_size` in pixels: what the model was trained at (1008) unless given. Raises AssetError
    where nothing fits or nothing is within reach, ConfigError for a size that is no multiple of the
    model's patches.
    """
    import transformers

    refuse_others(str(name))
    config = read_config(name, part)
    patch = int(config.vision_config.backbone_config.patch_size)
    if image_size is not None:
        if image_size < patch or image_size % patch:
            raise ConfigError(
                f"expected an image_size that is a multiple of {patch} for SAM 3, got {image_size}"
            )
        config.image_size = image_size
    kind = getattr(transformers, PARTS[part][config.model_type])
    try:
        model, found = kind.from_pretrained(
            str(name), config=config, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise out_of_reach(str(name), error) from error
    _require_all(str(name), found)
    return model.eval().requires_grad_(False)


def read_config(name: str | Path, part: Part) -> Any:
    """The configuration of one part; raises AssetError for another architecture."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(name))
    except (OSError, ValueError) as error:
        raise out_of_reach(str(name), error) from error
    if config.model_type == WHOLE:
        config = getattr(config, SECTIONS[part])
    if config.model_type not in PARTS[part]:
        kinds = " or ".join((WHOLE, *PARTS[part]))
        raise AssetError(
            f"expected a model of type {kinds} at {name}, got {config.model_type}; "
            "SAM 3's weights as transformers reads them are facebook/sam3"
        )
    return config


def refuse_others(name: str) -> None:
    """Raises AssetError for SAM 3.1 and for `.pt` files, with the reason."""
    last = name.rstrip("/").rpartition("/")[2]
    if MULTIPLEXED.search(last):
        raise AssetError(
            f"SAM 3.1 ({name}) cannot be read: it tracks objects in buckets that share one memory, "
            "and transformers has no class for those networks; use facebook/sam3"
        )
    if last.endswith((".pt", ".pth")):
        raise AssetError(
            f"expected a hub id or a folder with config.json and safetensors, got {name}; the "
            ".pt of SAM 3 names its weights otherwise: facebook/sam3 holds both"
        )


def out_of_reach(name: str, error: Exception) -> AssetError:
    """What to do about a checkpoint that did not load."""
    refused = refusal(name, error)
    if refused is not None:
        return refused
    lines = str(error).splitlines() or [type(error).__name__]
    return AssetError(
        f"expected a hub id or a folder with config.json and all safetensors of SAM 3 at {name}: "
        f"{lines[0]}"
    )


def _require_all(name: str, found: dict[str, Any]) -> None:
    """Every parameter came from the checkpoint, and none of it was left over."""
    missing, unknown = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    if missing or unknown:
        raise AssetError(
            f"expected weights at {name} that fit its config.json: {len(missing)} are missing "
            f"({', '.join(missing[:NAMED])}), {len(unknown)} unknown ({', '.join(unknown[:NAMED])})"
        )
