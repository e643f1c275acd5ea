"""A streaming tracker with the weights of SAM 2 or EdgeTAM."""

from pathlib import Path
from typing import Literal

import torch

from perception.sam2.load import load_model
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.state import Sam2Config
from perception.sam2_tracking.tracker import Sam2Tracker
from stream.errors import ConfigError

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
    "mixed" keeps float32 and multiplies bfloat16 numbers in the linear layers; on CPUs with such
    instructions it is the fastest. Raises
    AssetError when nothing loadable is there, ConfigError for a size that is not a multiple of 64.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"expected a CUDA device for {device!r}, this machine has none; use cpu")
    model = load_model(name, image_size)
    mixed = precision == "mixed"
    model = model.to(device=device, dtype=torch.float32 if mixed else getattr(torch, precision))
    config = config or Sam2Config()
    return Sam2Tracker(Sam2Networks(model, mixed, config.compile), config)


def best_precision(device: str) -> Precision:
    """The fastest precision that keeps masks: bfloat16 on CUDA, mixed on CPUs that multiply it."""
    if torch.device(device).type == "cuda":
        return "bfloat16"
    has = torch.cpu.get_capabilities()
    return "mixed" if has.get("avx512_bf16") or has.get("amx_bf16") else "float32"
