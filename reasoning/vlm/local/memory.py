"""What a model takes and what is free, before a byte of it is loaded.

A safetensors file begins with the length of its header (8 bytes, little endian) and the header as
JSON: name -> dtype, shape, data_offsets. So a file that is half there is told by its length alone.
"""

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stream.errors import AssetError

MAX_HEADER = 100 << 20  # bytes, as the safetensors library has it
WORK = 1.15  # times the weights: what reading a picture and loading need beside them
RESERVE = 256 << 20  # bytes: the cache of keys and values, a frame's pictures
FLOATS = frozenset(("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"))
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Weights:
    """What the files of a model hold."""

    numbers: int  # of all floating point tensors, which are cast
    other_bytes: int  # of tensors that are kept as they are

    def needed(self, bytes_each: float) -> int:
        """Bytes that the model takes in memory, with what reading needs beside it."""
        return int((self.numbers * bytes_each + self.other_bytes) * WORK) + RESERVE


def read_headers(folder: Path) -> Weights:
    """Sizes of all tensors of a folder; raises AssetError for a file that is cut off or none."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise AssetError(f"expected *.safetensors in {folder}, found none")
    numbers = other = 0
    for path in paths:
        for told in _header(path).values():
            count = math.prod(told["shape"])
            begin, end = told["data_offsets"]
            if told["dtype"] in FLOATS:
                numbers += count
            else:
                other += end - begin
    return Weights(numbers, other)


def _header(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, MAX_HEADER):
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        wanted = 8 + length + max((one["data_offsets"][1] for one in header.values()), default=0)
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise AssetError(f"expected a safetensors file at {path}: {error}") from error
    if size < wanted:
        raise AssetError(
            f"expected {wanted} bytes of {path}, found {size}: half a download; fetch it again"
        )
    return dict(header)


def check_memory(folder: Path, bytes_each: float, device: torch.device, beside: int = 0) -> None:
    """Raises AssetError when the model will not fit into what is free on a device.

    `beside`: bytes of the weights that are loaded with it.
    """
    needed = read_headers(folder).needed(bytes_each) + int(beside * WORK)
    free = free_bytes(device)
    if free is not None and needed > free:
        raise AssetError(
            f"the model in {folder} needs about {needed / 1e9:.1f} GB on {device}, and "
            f"{free / 1e9:.1f} GB are free; take a smaller model, a smaller number type "
            "(reasoning.vlm.dtype: bfloat16) or quantise it (reasoning.vlm.quantise: 4bit)"
        )


def free_bytes(device: torch.device) -> int | None:
    """Memory that may be taken on a device; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [size for size in (_available(), _cgroup_left()) if size is not None]
    return min(known, default=None)


def _available() -> int | None:
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10  # KiB
    except OSError:
        pass
    try:  # all there is: nobody tells how much of it is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _cgroup_left() -> int | None:
    """What a container may still take (cgroup v2); pages of files are given back when asked for."""
    try:
        most = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        told = (CGROUP / "memory.stat").read_text(encoding="ascii").split("\n")
        files = sum(int(line.split()[1]) for line in told if line.startswith("file "))
    except (OSError, ValueError):
        return None
    return max(0, int(most) - used + files) if most.isdigit() else None
