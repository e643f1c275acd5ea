"""Load SAM 2 and EdgeTAM: a hub id, a folder written by `save_pretrained`, or a sam2 `.pt`."""

from pathlib import Path
from typing import Any

from perception.sam2.convert import load_checkpoint, resize_config
from stream.errors import AssetError, ConfigError


def load_model(name: str | Path, image_size: int | None = None) -> Any:
    """transformers' `Sam2VideoModel` or `EdgeTamVideoModel` with the weights of `name`."""
    from transformers import AutoConfig, EdgeTamVideoModel, Sam2VideoModel

    if image_size is not None and (image_size < 64 or image_size % 64):
        raise ConfigError(f"expected an image size that is a multiple of 64, got {image_size}")
    path = Path(name)
    if path.suffix == ".pt":
        return load_checkpoint(path, image_size)
    try:
        config = AutoConfig.from_pretrained(str(name))
    except (OSError, ValueError) as error:
        raise AssetError(
            f"expected a hub id or a folder with config.json and weights at {name}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    kinds = {"sam2_video": Sam2VideoModel, "edgetam_video": EdgeTamVideoModel}
    if config.model_type not in kinds:
        raise AssetError(
            f"expected a model of type {' or '.join(kinds)} at {name}, got {config.model_type}"
        )
    if image_size is not None:
        resize_config(config, image_size)
    try:
        return kinds[config.model_type].from_pretrained(str(name), config=config)
    except (OSError, ValueError, RuntimeError) as error:
        raise AssetError(f"expected weights that fit config.json at {name}: {error}") from error
