"""SAM 3's tracker under SAM 2's bounded state: the same networks on the frames of a ViT.

transformers' own session keeps every frame, and takes an index anew where old frames are dropped.
"""

from pathlib import Path

import torch

from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.open import Precision
from perception.sam2_tracking.state import Sam2Config
from perception.sam2_tracking.tracker import Sam2Tracker
from perception.sam3.checkpoint import load_part
from stream.errors import ConfigError


def load_sam3_tracker(
    name: str | Path,
    config: Sam2Config | None = None,
    *,
    image_size: int | None = None,
    precision: Precision = "float32",
    device: str = "cpu",
) -> Sam2Tracker:
    """A streaming tracker with the tracker's weights of a SAM 3 checkpoint.

    `image_size`: 1008 as trained unless given, a multiple of 14. `precision`: "float32" or "mixed"
    (bfloat16 products, weights and residual stream in float32, as upstream). Raises AssetError when
    nothing loadable is there, ConfigError for a size, precision or device that cannot be.
    """
    if precision not in ("float32", "mixed"):
        raise ConfigError(
            f"expected precision float32 or mixed for SAM 3, got {precision}: the positions of its "
            "vision transformer are fractions that half precision cannot hold"
        )
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"expected a CUDA device for {device!r}, this machine has none; use cpu")
    model = load_part(name, "tracker", image_size).to(device)
    config = config or Sam2Config()
    networks = Sam2Networks(model, precision == "mixed", config.compile, config.resize)
    return Sam2Tracker(networks, config)
