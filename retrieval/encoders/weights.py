"""Files of weights: their fingerprint, and tensors read from them without running any code."""

import hashlib
import pickle
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from stream.errors import AssetError

Tensors = dict[str, torch.Tensor]


def fingerprint(paths: Iterable[Path]) -> str:
    """Twelve hex digits of the SHA-256 of some files' contents, in the order of their names.

    Raises AssetError for a file that cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise AssetError(f"expected weights that can be read in {path}: {error}") from error
    return digest.hexdigest()[:12]


def read_tensors(path: Path) -> Tensors:
    """Named tensors of a .safetensors or a PyTorch file; raises AssetError for anything else."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AssetError(f"expected a file of tensors alone in {path}: {reason}") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise AssetError(f"expected named tensors in {path}, got {type(found).__name__}")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
