"""Files that are made once out of pinned ones: networks as safetensors, read by parameter name.

They are written aside and renamed, and say what they were made from, so that a changed source or
another way of converting makes them anew.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from foveal.assets.gguf_convert import convert_llama_gguf
from foveal.assets.onnx_convert import decoder_weights, encoder_weights
from foveal.assets.registry import ADVICE, Asset, asset_path, cache_root, check_file, find_asset
from foveal.assets.tfjs_convert import blazeface_weights, centernet_weights
from perception.features.weights import DIGEST, arrays_sha256, read_arrays, read_metadata
from stream.errors import AssetError
from stream.writing import writing

logger = logging.getLogger(__name__)

SOURCE = "source"  # the metadata's key of `_source_key`
VERSION = 1  # of what the converters write


class Conversion(NamedTuple):
    """How one network's file is made."""

    sources: tuple[str, ...]  # names of the asset's pinned files
    read: Callable[[Path], dict[str, npt.NDArray[np.float32]]]  # of the first of them


CONVERSIONS = {
    "centernet.safetensors": Conversion(("centernet.json", "centernet.bin"), centernet_weights),
    "blazeface.safetensors": Conversion(("blazeface.json", "blazeface.bin"), blazeface_weights),
    "encoder.safetensors": Conversion(("encoder.onnx",), encoder_weights),
    "decoder.safetensors": Conversion(("sam.onnx",), decoder_weights),
}


def network_path(name: str, file: str) -> Path:
    """Path of one of an asset's networks, converted now where only its sources were pulled.

    Raises MissingAssetError when neither is there, AssetError for files that are damaged, and
    OutputError where the cache cannot be written.
    """
    asset, path = find_asset(name), cache_root() / name / file
    if path.is_file() and read_metadata(path).get(SOURCE) == _source_key(asset, file):
        return path
    if not any((path.parent / source).exists() for source in CONVERSIONS[file].sources):
        return asset_path(name, file)
    _convert(asset, path)
    return path


def check_derived(asset: Asset, folder: Path) -> None:
    """Raise AssetError unless an asset's derived files are there, whole, and of these sources."""
    for name in asset.derived:
        path = folder / name
        if not path.is_file():
            raise AssetError(f"{name} is missing; run `foveal models pull {asset.name}`")
        if name in CONVERSIONS and read_arrays(path)[1].get(SOURCE) != _source_key(asset, name):
            raise AssetError(f"{name} is of other files; run `foveal models pull {asset.name}`")


def derive(asset: Asset, folder: Path) -> bool:
    """Make an asset's derived files where `check_derived` would complain; whether any was made."""
    try:
        check_derived(asset, folder)
    except AssetError:
        networks = [name for name in asset.derived if name in CONVERSIONS]
        for name in networks:
            _convert(asset, folder / name)
        if not networks:
            _derive_llama(asset, folder)
        return True
    return False


def _source_key(asset: Asset, file: str) -> str:
    """What a file is made from, and how."""
    digests = [each.sha256 for each in asset.files if each.name in CONVERSIONS[file].sources]
    return hashlib.sha256(f"{VERSION} {' '.join(digests)}".encode()).hexdigest()


def _convert(asset: Asset, path: Path) -> None:
    conversion = CONVERSIONS[path.name]
    for file in asset.files:
        if file.name in conversion.sources:
            check_file(file, path.parent / file.name)
    logger.info("converting %s, once", path.name)
    arrays = conversion.read(path.parent / conversion.sources[0])
    metadata = {SOURCE: _source_key(asset, path.name), DIGEST: arrays_sha256(arrays)}
    with writing(path, advice=ADVICE), tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        (Path(scratch) / path.name).write_bytes(save(arrays, metadata))
        (Path(scratch) / path.name).replace(path)


def _derive_llama(asset: Asset, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        convert_llama_gguf(folder / asset.files[0].name, Path(scratch))
        target = (folder / asset.derived[0]).parent
        target.mkdir(exist_ok=True)
        for path in Path(scratch).iterdir():
            path.replace(target / path.name)
