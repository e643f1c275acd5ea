"""Load SAM 2 and EdgeTAM: a hub id, a folder written by `save_pretrained`, or an official `.pt`."""

from pathlib import Path
from typing import Any, Literal

import torch

from perception.sam2.convert import convert, read_checkpoint, require_whole, resize_config
from perception.sam2.convert_edgetam import convert_edgetam, is_edgetam, scale_latents
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.state import Sam2Config
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import AssetError, ConfigError
from stream.hub_refusals import refusal

Precision = Literal["float32", "mixed", "bfloat16", "float16"]


def load_sam2_tracker(
    name: str | Path,
    config: Sam2Config | None = None,
    *,
    image_size: int | None = None,
    precision: Precision = "float32",
    device: str = "cpu",
) -> Sam2Tracker:
    """A streaming tracker with the weights of `name`.

    `image_size`: 1024 as trained unless given (512 and 768 are faster, and coarser). `precision`
    "mixed" keeps float32 between layers and multiplies bfloat16 numbers, as the `sam2` package
    under autocast; on CPUs with such instructions it is the fastest. "bfloat16" casts the whole
    model, which is faster on a GPU and coarser (docs/sam2.md says how much). Raises
    AssetError when nothing loadable is there, ConfigError for a size that is not a multiple of 64.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"expected a CUDA device for {device!r}, this machine has none; use cpu")
    model = load_model(name, image_size)
    mixed = precision == "mixed"
    model = model.to(device=device, dtype=torch.float32 if mixed else getattr(torch, precision))
    config = config or Sam2Config()
    return Sam2Tracker(Sam2Networks(model, mixed, config.compile, config.resize), config)


def load_model(name: str | Path, image_size: int | None = None) -> Any:
    """transformers' `Sam2VideoModel` or `EdgeTamVideoModel` with the weights of `name`."""
    from transformers import AutoConfig, EdgeTamVideoModel, Sam2VideoModel

    if image_size is not None and (image_size < 64 or image_size % 64):
        raise ConfigError(f"expected an image size that is a multiple of 64, got {image_size}")
    path = Path(name)
    if path.suffix == ".pt":
        weights = read_checkpoint(path)
        return (convert_edgetam if is_edgetam(weights) else convert)(weights, image_size)
    try:
        config = AutoConfig.from_pretrained(str(name))
    except (OSError, ValueError) as error:
        raise refusal(str(name), error) or AssetError(
            f"expected a hub id or a folder with config.json and weights at {name}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    kinds = {"sam2_video": Sam2VideoModel, "edgetam_video": EdgeTamVideoModel}
    if config.model_type not in kinds:
        raise AssetError(
            f"expected a model of type {' or '.join(kinds)} at {name}, got {config.model_type}"
        )
    trained = config.image_size
    if image_size is not None:
        resize_config(config, image_size)
    try:
        model, report = kinds[config.model_type].from_pretrained(
            str(name), config=config, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise refusal(str(name), error) or AssetError(
            f"expected weights that fit config.json at {name}: {error}"
        ) from error
    require_whole(str(name), report["missing_keys"], report["unexpected_keys"])
    if config.model_type == "edgetam_video":
        scale_latents(model, config.image_size / trained)
    return model


def best_precision(device: str) -> Precision:
    """Mixed on CUDA, as upstream runs, and on CPUs that multiply bfloat16; else float32."""
    if torch.device(device).type == "cuda":
        return "mixed"
    has = torch.cpu.get_capabilities()
    return "mixed" if has.get("avx512_bf16") or has.get("amx_bf16") else "float32"
