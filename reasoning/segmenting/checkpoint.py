"""What lies in a checkpoint's folder: settings and tensors, read as they are published."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from stream.errors import AssetError

Weights = dict[str, torch.Tensor]
INDEX = "model.safetensors.index.json"
NAMED = 3  # keys that a message tells


def read_weights(folder: Path) -> Weights:
    """All tensors of a folder's safetensors; raises AssetError, also for half a download."""
    weights: Weights = {}
    try:
        for path in _parts(folder):
            weights.update(load_file(path))
    except (OSError, SafetensorError) as error:
        raise AssetError(
            f"expected weights that can be read in {folder}: {error}; fetch them again"
        ) from error
    return weights


def _parts(folder: Path) -> list[Path]:
    """The files of weights, those that the index names where there is one."""
    index = folder / INDEX
    if not index.is_file():
        found = sorted(folder.glob("*.safetensors"))
        if not found:
            raise AssetError(f"expected *.safetensors in {folder}, found none")
        return found
    try:
        told = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in told.values()})
    except (ValueError, KeyError, AttributeError) as error:
        raise AssetError(f"expected a weight_map in {index}: {error!r}; fetch it again") from error
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise AssetError(
            f"expected {len(names)} files of weights in {folder}, {len(absent)} are missing "
            f"({', '.join(absent[:NAMED])}): half a download; fetch it again"
        )
    return [folder / name for name in names]


def read_config(folder: Path) -> dict[str, Any]:
    """config.json; raises AssetError."""
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssetError(f"expected config.json in {folder}: {error}") from error
    if not isinstance(settings, dict):
        raise AssetError(f"expected an object in {folder / 'config.json'}, got another thing")
    return settings


def part(weights: Weights, prefix: str) -> Weights:
    """The tensors under a prefix, without it; raises AssetError when there are none."""
    found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    if not found:
        raise AssetError(f"expected parameters under {prefix!r}, found {sorted(weights)[:NAMED]}")
    return found


def fit(model_class: Any, config: Any, weights: Weights, dtype: torch.dtype) -> Any:
    """A transformers model with exactly these weights; raises AssetError with the first keys."""
    try:
        model, info = model_class.from_pretrained(
            None, config=config, state_dict=weights, output_loading_info=True, dtype=dtype
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise AssetError(f"expected the weights of {model_class.__name__}: {reason}") from error
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    missing, unknown = sorted(set(info["missing_keys"]) - tied), sorted(info["unexpected_keys"])
    if missing or unknown:
        raise AssetError(
            f"expected the parameters of {model_class.__name__}: {_first(missing, 'missing')}, "
            f"{_first(unknown, 'unknown')}"
        )
    return model.eval()


def _first(keys: Iterable[str], what: str) -> str:
    named = list(keys)
    return f"{len(named)} {what}" + (f" ({', '.join(named[:NAMED])})" if named else "")
