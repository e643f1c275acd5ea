"""ONNX files written by hand, field by field."""

import numpy as np
import numpy.typing as npt


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    """One field: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: npt.NDArray[np.float32], packed: bool = False) -> bytes:
    """TensorProto; `packed` writes float_data and packed dims instead of raw_data."""
    raw = np.asarray(values, "<f4").tobytes()
    if packed:
        dims = field(1, b"".join(varint(side) for side in values.shape))
        return dims + field(2, 1) + field(4, raw) + field(8, name)
    dims = b"".join(field(1, side) for side in values.shape)
    return dims + field(2, 1) + field(8, name) + field(9, raw)


def node(name: str, operator: str, *inputs: str, output: str = "", constant: bytes = b"") -> bytes:
    """NodeProto; `constant` is the tensor of its only attribute."""
    data = b"".join(field(1, one) for one in inputs) + field(2, output)
    data += field(3, name) + field(4, operator)
    return data + (field(5, field(1, "value") + field(5, constant)) if constant else b"")


def model(nodes: list[bytes], tensors: list[bytes]) -> bytes:
    """ModelProto."""
    graph = b"".join(field(1, one) for one in nodes) + b"".join(field(5, one) for one in tensors)
    return field(1, 8) + field(2, "a test") + field(7, graph)
