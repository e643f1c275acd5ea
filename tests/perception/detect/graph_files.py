"""Small TensorFlow.js graph models written to disk, for tests."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


def text(value: str) -> dict[str, str]:
    """A string attribute."""
    return {"s": base64.b64encode(value.encode()).decode()}


def ints(*values: int) -> dict[str, dict[str, list[str]]]:
    """A list attribute."""
    return {"list": {"i": [str(value) for value in values]}}


def node(
    name: str, op: str, inputs: Sequence[str] = (), **attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """One entry of a topology."""
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def write_model(
    folder: Path,
    nodes: Sequence[Mapping[str, Any]],
    constants: Mapping[str, Array],
    quantised: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write model.json and model.bin; `quantised` constants are stored as they are given."""
    entries, data = [], b""
    for name, value in constants.items():
        how = (quantised or {}).get(name)
        kind = "float32" if how else str(value.dtype)
        entry: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": kind}
        if how:
            entry["quantization"] = dict(how)
        entries.append(entry)
        data += value.tobytes()
    consts = [node(name, "Const") for name in constants]
    table = {
        "format": "graph-model",
        "modelTopology": {"node": [*consts, *nodes]},
        "weightsManifest": [{"paths": ["model.bin"], "weights": entries}],
    }
    (folder / "model.bin").write_bytes(data)
    path = folder / "model.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    return path
