"""What is shipped of a trained model: adapters, connector and tagger, one safetensors file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from reasoning.pixsearch.modeling import ModelConfig, PixSearchModel
from stream.errors import AssetError

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "pixsearch.safetensors"
FORM = "2"  # of the file: tensors by PEFT's names


def trained_state(model: PixSearchModel) -> dict[str, Tensor]:
    """Everything that learns, by name; the language model's own weights are not in it."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def save_model(model: PixSearchModel, path: Path = WEIGHTS) -> int:
    """Write what learns as float16; returns the file's bytes."""
    tensors = {name: t.half().contiguous() for name, t in trained_state(model).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"form": FORM, "config": json.dumps(asdict(model.config))})
    return path.stat().st_size


def read_config(path: Path = WEIGHTS) -> ModelConfig:
    """The sizes of a saved model; raises AssetError when the file is none."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        values = json.loads(metadata["config"])
        if metadata.get("form") != FORM:
            raise ValueError(f"form {metadata.get('form')!r}")
        return config_of(values)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise AssetError(
            f"expected a segmenting model's weights in {path}: {error!r}; run `foveal train`"
        ) from error


def load_weights(
    model: PixSearchModel, path: Path = WEIGHTS, parts: Sequence[str] = ()
) -> PixSearchModel:
    """Put saved tensors into a model of the same sizes; raises AssetError where they do not fit.

    `parts` ("lm", "connector", "tagger" …) takes only those; all without.
    """
    learning = {n: t for n, t in trained_state(model).items() if _among(n, parts)}
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if _among(name, parts)]  # noqa: SIM118
            saved = {name: file.get_tensor(name) for name in names}
        if set(saved) != set(learning):
            odd = sorted(set(saved) ^ set(learning))[:4]
            raise ValueError(f"other tensors, such as {odd}")
        with torch.no_grad():
            for name, tensor in learning.items():
                tensor.copy_(saved[name])
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise AssetError(f"expected weights of {path} to fit the model: {error}") from error
    return model


def _among(name: str, parts: Sequence[str]) -> bool:
    return not parts or name.split(".")[0] in parts


def config_of(values: Mapping[str, Any]) -> ModelConfig:
    """Plain values -> ModelConfig; KeyError, TypeError or ValueError for what does not fit."""
    rows, cols = values["grid"]
    return ModelConfig(**{**values, "grid": (int(rows), int(cols))})
