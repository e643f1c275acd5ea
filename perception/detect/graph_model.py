"""TensorFlow.js graph models run with torch: a JSON topology and its binary weights, no TensorFlow.

The format is that of tfjs-converter: a list of nodes, and a manifest that says where each constant
lies in the weight files and whether it was quantised (float16, or uint8 and uint16 with a scale and
a minimum). Tensors keep TensorFlow's order, [N, H, W, C]; seen as [N, C, H, W] that is torch's
channels_last, so convolutions need no copy.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from perception.detect.graph_fuse import fuse
from perception.detect.graph_node import Node, read_node
from perception.detect.graph_ops import make_step
from stream.errors import AssetError

MAX_JSON_BYTES = 1 << 24
DTYPES = {"float32": np.float32, "int32": np.int32, "bool": np.bool_, "uint8": np.uint8}
QUANTISED = {"float16": np.float16, "uint8": np.uint8, "uint16": np.uint16}
SOURCES = ("Const", "Placeholder")

Step = Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class Instruction:
    """One operation: what it reads, does, writes, and which values nobody reads after it."""

    name: str
    step: Step
    inputs: tuple[str, ...]
    last_reads: tuple[str, ...]


class GraphModel:
    """A graph cut down to the outputs that are wanted, ready to run."""

    def __init__(
        self,
        nodes: Iterable[Node],
        weights: Mapping[str, torch.Tensor],
        outputs: Sequence[str],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """`dtype` is what convolutions compute in and give.

        Raises AssetError for operations that `perception.detect.graph_ops` does not know.
        """
        self.outputs = tuple(outputs)
        named = {node.name: node for node in nodes}
        wanted = fuse(_needed(named, self.outputs), weights, self.outputs)
        self.inputs = tuple(node.name for node in wanted if node.op == "Placeholder")
        self._program = _program(wanted, weights, self.outputs, dtype)
        read = {name for each in self._program for name in each.inputs}
        self._constants = {name: value for name, value in weights.items() if name in read}
        self._missing(read | set(self.outputs), named)

    @classmethod
    def load(
        cls, path: Path, outputs: Sequence[str], dtype: torch.dtype = torch.float32
    ) -> "GraphModel":
        """Read `path` (the .json) and the weight files beside it; raises AssetError."""
        try:
            if path.stat().st_size > MAX_JSON_BYTES:
                raise ValueError(f"more than {MAX_JSON_BYTES} bytes")
            table = json.loads(path.read_text(encoding="utf-8"))
            nodes = [read_node(entry) for entry in table["modelTopology"]["node"]]
            weights = _read_weights(table["weightsManifest"], path.parent)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AssetError(
                f"expected a TensorFlow.js graph model in {path}: {type(error).__name__}: {error}"
            ) from error
        return cls(nodes, weights, outputs, dtype)

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Inputs [N, H, W, C] float32 in the order of `inputs` -> the outputs in their order."""
        if len(inputs) != len(self.inputs):
            raise ValueError(f"expected {len(self.inputs)} inputs, got {len(inputs)}")
        values: dict[str, torch.Tensor] = dict(zip(self.inputs, inputs, strict=True))
        with torch.inference_mode():
            for each in self._program:
                read = [
                    values[name] if name in values else self._constants[name]
                    for name in each.inputs
                ]
                for number, value in enumerate(each.step(read)):
                    values[f"{each.name}:{number}" if number else each.name] = value
                for name in each.last_reads:
                    values.pop(name, None)
        return tuple(values[name] for name in self.outputs)

    def _missing(self, read: set[str], named: Mapping[str, Node]) -> None:
        lost = sorted(n for n in read if n.split(":")[0] not in named and n not in self._constants)
        if lost:
            raise AssetError(f"expected values for {', '.join(lost[:3])}; the graph has none")


def _needed(named: Mapping[str, Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes that the outputs depend on, each after those it reads; raises AssetError."""
    order: list[Node] = []
    done: set[str] = set()
    stack = [(name.split(":")[0], False) for name in reversed(outputs)]
    open_: set[str] = set()
    while stack:
        name, ready = stack.pop()
        if name in done:
            continue
        if name not in named:
            raise AssetError(f"expected a node {name} in the graph, found none")
        if ready:
            done.add(name)
            order.append(named[name])
            continue
        if name in open_:
            raise AssetError(f"expected a graph without cycles, {name} needs itself")
        open_.add(name)
        stack.append((name, True))
        stack += [(each.split(":")[0], False) for each in reversed(named[name].inputs)]
    return order


def _program(
    nodes: Sequence[Node],
    weights: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    dtype: torch.dtype,
) -> list[Instruction]:
    steps: list[tuple[Node, Step, tuple[str, ...]]] = []
    unknown: Counter[str] = Counter()
    for node in nodes:
        if node.op in SOURCES:
            continue
        made = make_step(node, weights, dtype)
        if made is None:
            unknown[node.op] += 1
        else:
            steps.append((node, *made))
    if unknown:
        listed = ", ".join(f"{op} ({count})" for op, count in unknown.items())
        raise AssetError(f"the graph has operations that are not known here: {listed}")
    later = set(outputs)
    program: list[Instruction] = []
    for node, step, inputs in reversed(steps):
        last = tuple(dict.fromkeys(name for name in inputs if name not in later))
        later |= set(inputs)
        program.append(Instruction(node.name, step, inputs, last))
    return program[::-1]


def _read_weights(manifest: Sequence[Any], folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = {}
    for group in manifest:
        names = [str(name) for name in group["paths"]]
        if any(Path(name).name != name for name in names):
            raise ValueError(f"expected weight files beside the model, got {names}")
        data = b"".join((folder / name).read_bytes() for name in names)
        offset = 0
        for entry in group["weights"]:
            value, used = _read_weight(entry, data, offset)
            weights[str(entry["name"])] = value
            offset += used
        if offset != len(data):
            raise ValueError(f"expected {offset} bytes of weights in {names}, got {len(data)}")
    return weights


def _read_weight(entry: Mapping[str, Any], data: bytes, offset: int) -> tuple[torch.Tensor, int]:
    """One constant and how many bytes it takes."""
    shape = tuple(int(side) for side in entry["shape"])
    quantised = entry.get("quantization")
    kind = str(quantised["dtype"] if quantised else entry["dtype"])
    table: Mapping[str, Any] = QUANTISED if quantised else DTYPES
    if kind not in table or str(entry["dtype"]) not in DTYPES:
        raise ValueError(f"{entry['name']}: weights of type {kind} are not known here")
    stored = np.dtype(table[kind]).newbyteorder("<")
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.frombuffer(data, stored, count, offset)  # raises ValueError when it is too short
    if quantised and kind != "float16":
        raw = raw.astype(np.float32) * float(quantised["scale"]) + float(quantised["min"])
    value: npt.NDArray[Any] = np.array(raw, DTYPES[str(entry["dtype"])], order="C").reshape(shape)
    return torch.from_numpy(value), count * stored.itemsize
