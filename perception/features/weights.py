"""A network's parameters in a safetensors file: by name, with nothing missing or left over."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from stream.errors import AssetError

if TYPE_CHECKING:
    import torch  # takes seconds: not to check a file

DIGEST = "sha256"  # the metadata's key of `tensors_sha256`
MEND = "run `foveal models pull`"

Arrays = Mapping[str, npt.NDArray[Any]]
Network = TypeVar("Network", bound="torch.nn.Module")


def load_parameters(network: Network, path: Path, mend: str = MEND) -> Network:
    """Fill a network, ready for inference.

    Raises AssetError, which says how to `mend` it, for a file that is not its own.
    """
    import torch

    arrays, _ = read_arrays(path, mend)
    kind = f"expected the weights of {type(network).__name__} in {path}"
    tensors = {name: torch.from_numpy(each) for name, each in arrays.items()}
    try:
        unfit = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise AssetError(f"{kind}: {str(error).splitlines()[1].strip()}; {mend}") from error
    if unfit.missing_keys or unfit.unexpected_keys:
        raise AssetError(
            f"{kind}: {len(unfit.missing_keys)} are missing ({unfit.missing_keys[:3]}), "
            f"{len(unfit.unexpected_keys)} unknown ({unfit.unexpected_keys[:3]}); {mend}"
        )
    return network.eval().requires_grad_(False)


def read_arrays(path: Path, mend: str = MEND) -> tuple[Arrays, Mapping[str, str]]:
    """A file's arrays and its metadata.

    Raises AssetError where it is missing or cut off, or holds others than its digest says.
    """
    metadata = read_metadata(path, mend)
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _broken(path, error, mend) from error
    if metadata.get(DIGEST) not in (None, arrays_sha256(arrays)):
        raise _broken(path, "its values are not those that were written", mend)
    return arrays, metadata


def read_metadata(path: Path, mend: str = MEND) -> Mapping[str, str]:
    """What a file says of itself; raises AssetError where it is missing or cut off."""
    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _broken(path, error, mend) from error


def arrays_sha256(arrays: Arrays) -> str:
    """Hex digest of the values, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].data)
    return digest.hexdigest()


def _broken(path: Path, why: object, mend: str) -> AssetError:
    return AssetError(f"expected a whole safetensors file at {path}: {why}; {mend}")
