"""The constants of an ONNX file by the node that uses them, read without running it.

ONNX (https://onnx.ai, IR version 3 and later) is a protocol buffer; of its messages only those that
hold tensors are read. Exporters name a node after its module ("/layers.1/blocks.0/mlp/fc1/MatMul"),
which tells whose weights they are even where constants have lost their names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream.errors import AssetError

FLOAT = 1  # TensorProto.DataType
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE = 1, 2, 3, 4, 5
ATTRIBUTE_TENSOR = 5
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 1, 2, 4, 8, 9
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

Floats = npt.NDArray[np.float32]
Field = tuple[int, "int | memoryview"]  # number, value


@dataclass(frozen=True, slots=True, eq=False)
class OnnxWeights:
    """What a file holds; arrays are read-only."""

    tensors: dict[str, Floats]  # float32 constants by their name
    nodes: dict[str, tuple[str, tuple[str, ...]]]  # node name -> operator, names of its inputs

    def of(self, node: str) -> tuple[Floats, ...]:
        """The float constants among a node's inputs, in order; raises AssetError without any."""
        inputs = self.nodes.get(node, ("", ()))[1]
        found = tuple(self.tensors[name] for name in inputs if name in self.tensors)
        if not found:
            raise AssetError(f"expected a node {node} with weights, found {inputs or 'no such'}")
        return found


def read_onnx(path: Path) -> OnnxWeights:
    """Read a file; raises AssetError when it is missing, cut off, or something else."""
    try:
        data = memoryview(path.read_bytes())
        tensors: dict[str, Floats] = {}
        nodes: dict[str, tuple[str, tuple[str, ...]]] = {}
        for graph in _parts(data, MODEL_GRAPH):
            for number, value in _fields(graph):
                if number == GRAPH_INITIALIZER:
                    name, array = _tensor(_as_bytes(value))
                    if array is not None:
                        tensors[name] = array
                elif number == GRAPH_NODE:
                    node = _node(_as_bytes(value))
                    nodes[node.name] = node.operator, node.inputs
                    if node.constant is not None:
                        tensors[node.output] = node.constant
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise AssetError(f"expected an ONNX model in {path}: {error}") from error
    if not nodes:
        raise AssetError(f"expected an ONNX model in {path}, found no graph in it")
    return OnnxWeights(tensors, nodes)


@dataclass(slots=True, eq=False)
class _Node:
    name: str = ""
    operator: str = ""
    output: str = ""
    inputs: tuple[str, ...] = ()
    constant: Floats | None = None


def _node(data: memoryview) -> _Node:
    node = _Node()
    for number, value in _fields(data):
        if number == NODE_INPUT:
            node.inputs += (_text(value),)
        elif number == NODE_OUTPUT:
            node.output = _text(value)
        elif number == NODE_NAME:
            node.name = _text(value)
        elif number == NODE_OP:
            node.operator = _text(value)
        elif number == NODE_ATTRIBUTE:
            for part in _parts(_as_bytes(value), ATTRIBUTE_TENSOR):
                node.constant = _tensor(part)[1]
    return node


def _tensor(data: memoryview) -> tuple[str, Floats | None]:
    """Name and values; None for what is not float32."""
    dims: list[int] = []
    kind, name = 0, ""
    values: Floats | None = None
    for number, value in _fields(data):
        if number == TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == TENSOR_NAME:
            name = _text(value)
        elif number in (TENSOR_RAW, TENSOR_FLOATS) and not isinstance(value, int) and len(value):
            values = np.frombuffer(value, "<f4") if len(value) % 4 == 0 else None
    if kind != FLOAT or values is None:
        return name, None
    return name, np.asarray(values.reshape(dims), np.float32)


def _parts(data: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number == wanted:
            yield _as_bytes(value)


def _fields(data: memoryview) -> Iterator[Field]:
    """The fields of one message; raises ValueError or IndexError where it is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == BYTES:
            size, at = _varint(data, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"no wire type {wire}")
        if at + size > len(data):
            raise ValueError(f"a field of {size} bytes ends after {len(data) - at}")
        yield key >> 3, data[at : at + size]
        at += size


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, lowest first, and where the next field begins."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _as_bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_as_bytes(value)).decode("utf-8", "replace")
