"""Small TensorFlow.js graph models written to disk, for tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt


def write_model(folder: Path, constants: Mapping[str, npt.NDArray[Any]]) -> Path:
    """Write model.json and model.bin; what is float16 is a quantised float32."""
    entries, data = [], b""
    for name, value in constants.items():
        half = str(value.dtype) == "float16"
        kind = "float32" if half else str(value.dtype)
        entry: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": kind}
        if half:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        entries.append(entry)
        data += value.tobytes()
    (folder / "model.bin").write_bytes(data)
    table = {"weightsManifest": [{"paths": ["model.bin"], "weights": entries}]}
    path = folder / "model.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    return path
