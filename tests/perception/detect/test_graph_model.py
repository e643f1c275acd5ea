"""TensorFlow.js graphs: the file format, TensorFlow's rules, rewrites, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.detect.graph_model import GraphModel
from perception.detect.graph_node import read_node
from perception.detect.graph_ops import Convolution, make_step, same_padding
from stream.errors import AssetError
from tests.perception.detect.graph_files import Array, ints, node, text, write_model

NHWC = text("NHWC")
IMAGE = node("x", "Placeholder")


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def by_hand(x: Array, kernel: Array, stride: int, padding: str) -> Array:
    """A convolution of [H, W, C] by its definition in TensorFlow's documentation."""
    high, wide, _, count = kernel.shape
    rows, cols = x.shape[:2]
    if padding == "SAME":
        out_rows, out_cols = -(-rows // stride), -(-cols // stride)
        down = max((out_rows - 1) * stride + high - rows, 0)
        right = max((out_cols - 1) * stride + wide - cols, 0)
        x = np.pad(x, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))
    else:
        out_rows, out_cols = -(-(rows - high + 1) // stride), -(-(cols - wide + 1) // stride)
    out = np.zeros((out_rows, out_cols, count), np.float32)
    for row in range(out_rows):
        for col in range(out_cols):
            part = x[row * stride : row * stride + high, col * stride : col * stride + wide]
            out[row, col] = np.tensordot(part, kernel, 3)
    return out


def convolution(kernel: Array, stride: int, padding: str, op: str = "Conv2D") -> Convolution:
    strides = ints(1, stride, stride, 1)
    entry = node("c", op, ["x", "k"], strides=strides, padding=text(padding), data_format=NHWC)
    return Convolution(read_node(entry), {"k": torch.from_numpy(kernel)}, torch.float32)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(5, 12), st.integers(5, 12), st.sampled_from([1, 2, 3, 5]),
    st.sampled_from([1, 2, 3]), st.sampled_from(["SAME", "VALID"]),
)  # fmt: skip
def test_convolution_pads_as_tensorflow_does(
    rows: int, cols: int, size: int, stride: int, padding: str
) -> None:
    x, kernel = random(rows, cols, 3), random(size, size, 3, 4, seed=1)
    (got,) = convolution(kernel, stride, padding)((torch.from_numpy(x)[None],))
    assert np.allclose(got[0].numpy(), by_hand(x, kernel, stride, padding), atol=1e-4)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_depthwise_keeps_channels_apart(size: int, stride: int) -> None:
    x, kernel = random(8, 9, 3), random(size, size, 3, 2, seed=1)
    layer = convolution(kernel, stride, "SAME", "DepthwiseConv2dNative")
    (got,) = layer((torch.from_numpy(x)[None],))
    for channel in range(3):
        alone = by_hand(x[..., [channel]], kernel[:, :, [channel]], stride, "SAME")
        mine = got[0, ..., 2 * channel : 2 * channel + 2].numpy()
        assert np.allclose(mine, alone, atol=1e-4)


@given(st.integers(1, 600), st.integers(1, 9), st.integers(1, 4))
def test_same_padding_gives_the_right_size(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    if kernel >= stride:  # else windows leave gaps and the last one may end before the edge
        assert (size + before + after - kernel) // stride + 1 == -(-size // stride)


def hard_swish(sixth: float = 1 / 6) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """conv, then x / 6 * relu6(x + 3) the way MobileNetV3 writes it."""
    convolved = node(
        "c", "_FusedConv2D", ["x", "k", "b"], strides=ints(1, 1, 1, 1), padding=text("SAME"),
        data_format=NHWC, fused_ops={"list": {"s": [text("BiasAdd")["s"]]}},
    )  # fmt: skip
    nodes = [
        IMAGE,
        convolved,
        node("scaled", "Mul", ["sixth", "c"]),
        node("moved", "Add", ["c", "three"]),
        node("clipped", "Relu6", ["moved"]),
        node("out", "Mul", ["scaled", "clipped"]),
    ]
    constants = {
        "k": random(3, 3, 2, 4, seed=1),
        "b": random(4, seed=2),
        "sixth": np.array(sixth, np.float32),
        "three": np.array(3.0, np.float32),
    }
    return nodes, constants


def test_hard_swish_goes_into_the_convolution(tmp_path: Path) -> None:
    x = torch.from_numpy(random(1, 6, 7, 2))
    for sixth, operations in ((1 / 6, 1), (0.2, 5)):
        path = write_model(tmp_path, *hard_swish(sixth))
        model = GraphModel.load(path, ("out",))
        (got,) = model(x)
        (inner,) = GraphModel.load(path, ("c",))(x)
        wanted = sixth * inner * (inner + 3).clamp(0, 6)
        assert torch.allclose(got, wanted, atol=1e-5)
        assert len(model._program) == operations


def test_an_output_inside_the_pattern_is_kept(tmp_path: Path) -> None:
    path = write_model(tmp_path, *hard_swish())
    x = torch.from_numpy(random(1, 6, 7, 2))
    inner, out = GraphModel.load(path, ("c", "out"))(x)
    assert torch.allclose(out, torch.nn.functional.hardswish(inner), atol=1e-5)


def run(tmp_path: Path, entry: dict[str, Any], x: Array, **constants: Array) -> Array:
    """One operation on one input."""
    path = write_model(tmp_path, [IMAGE, entry], constants)
    (out,) = GraphModel.load(path, (entry["name"],))(torch.from_numpy(x))
    return np.asarray(out.numpy())


def test_resizing_without_half_pixels(tmp_path: Path) -> None:
    """As tf.compat.v1.image.resize_bilinear: line n lies at n * in / out."""
    x = np.array([0.0, 10.0, 30.0], np.float32).reshape(1, 1, 3, 1)
    size = np.array([1, 6], np.int32)
    out = run(tmp_path, node("out", "ResizeBilinear", ["x", "size"]), x, size=size)
    assert out.reshape(-1).tolist() == [0, 5, 10, 20, 30, 30]


def test_resizing_with_half_pixels_is_torchs(tmp_path: Path) -> None:
    x, size = random(1, 5, 4, 2), np.array([9, 10], np.int32)
    entry = node("out", "ResizeBilinear", ["x", "size"], half_pixel_centers={"b": True})
    out = run(tmp_path, entry, x, size=size)
    seen = torch.from_numpy(x).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.interpolate(seen, (9, 10), mode="bilinear", align_corners=False)
    assert np.allclose(out, wanted.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_pooling_with_same_padding_never_sees_zeros(tmp_path: Path) -> None:
    x = -1 - np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    entry = node(
        "out", "MaxPool", ["x"], ksize=ints(1, 3, 3, 1), strides=ints(1, 2, 2, 1),
        padding=text("SAME"), data_format=NHWC,
    )  # fmt: skip
    assert run(tmp_path, entry, x).reshape(-1).tolist() == [-1, -2, -4, -5]


def test_slices_padding_and_mean(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    entry = node("out", "StridedSlice", ["x", "a", "b", "s"], begin_mask={"i": "3"},
                 end_mask={"i": "3"})  # fmt: skip
    ends = {name: np.array(value, np.int32) for name, value in
            (("a", [9, 9, 1]), ("b", [9, 9, 3]), ("s", [1, 1, 1]))}  # fmt: skip
    assert np.array_equal(run(tmp_path, entry, x, **ends), x[:, :, 1:3])
    around = np.array([[0, 0], [1, 2], [0, 3]], np.int32)
    out = run(tmp_path, node("out", "Pad", ["x", "p"]), x, p=around)
    assert np.array_equal(out, np.pad(x, around))
    entry = node("out", "Mean", ["x", "axes"], keep_dims={"b": True})
    out = run(tmp_path, entry, x, axes=np.array([1, 2], np.int32))
    assert np.allclose(out, x.mean(axis=(1, 2), keepdims=True))


def test_second_outputs_and_integers(tmp_path: Path) -> None:
    nodes = [
        IMAGE,
        node("top", "TopKV2", ["x", "k"]),
        node("rest", "FloorMod", ["top:1", "three"]),
        node("row", "FloorDiv", ["top:1", "three"]),
    ]
    constants = {"k": np.array(2, np.int32), "three": np.array(3, np.int32)}
    model = GraphModel.load(write_model(tmp_path, nodes, constants), ("top", "rest", "row"))
    best, rest, row = model(torch.tensor([[0.0, 5, 1, 2, 9]]))
    assert best.tolist() == [[9, 5]]
    assert (rest.tolist(), row.tolist()) == ([[1, 1]], [[1, 0]])


@pytest.mark.parametrize(
    ("stored", "how"),
    [
        (np.array([1.5, -2.0], np.float16), {"dtype": "float16"}),
        (np.array([7, 0], np.uint8), {"dtype": "uint8", "scale": 0.5, "min": -2.0}),
        (np.array([7, 0], np.uint16), {"dtype": "uint16", "scale": 0.5, "min": -2.0}),
    ],
)
def test_quantised_weights(tmp_path: Path, stored: Array, how: dict[str, Any]) -> None:
    nodes = [IMAGE, node("out", "AddV2", ["x", "w"])]
    path = write_model(tmp_path, nodes, {"w": stored}, {"w": how})
    (out,) = GraphModel.load(path, ("out",))(torch.zeros(2))
    assert out.tolist() == [1.5, -2.0]


def test_unknown_operations_are_named(tmp_path: Path) -> None:
    nodes = [IMAGE, node("a", "Softplus", ["x"]), node("out", "Erf", ["a"])]
    path = write_model(tmp_path, nodes, {})
    with pytest.raises(AssetError, match=r"not known here: Softplus \(1\), Erf \(1\)"):
        GraphModel.load(path, ("out",))
    assert GraphModel.load(path, ("x",)).inputs == ("x",)  # what is not needed is not asked for


def test_variants_that_are_not_handled_are_refused() -> None:
    sliced = node("s", "StridedSlice", ["x", "a", "b", "c"], shrink_axis_mask={"i": "1"})
    with pytest.raises(AssetError, match="shrink_axis_mask is not handled"):
        make_step(read_node(sliced), {}, torch.float32)
    first = node("c", "Conv2D", ["x", "k"], padding=text("SAME"), data_format=text("NCHW"))
    with pytest.raises(AssetError, match="expected SAME or VALID in NHWC"):
        Convolution(read_node(first), {"k": torch.zeros(1, 1, 1, 1)}, torch.float32)
    with pytest.raises(AssetError, match="constants"):
        Convolution(read_node(first), {}, torch.float32)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path, *hard_swish())
    whole = (tmp_path / "model.bin").read_bytes()
    for data in (whole[:-4], whole + b"1234", b""):
        (tmp_path / "model.bin").write_bytes(data)
        with pytest.raises(AssetError, match=r"expected a TensorFlow.js graph model in .*model"):
            GraphModel.load(path, ("out",))
    (tmp_path / "model.bin").write_bytes(whole)
    table = json.loads(path.read_text(encoding="utf-8"))
    table["weightsManifest"][0]["paths"] = ["../model.bin"]
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(AssetError, match="weight files beside the model"):
        GraphModel.load(path, ("out",))
    for content in ("{}", "[]", "null", "{", ""):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(AssetError, match="expected a TensorFlow.js graph model"):
            GraphModel.load(path, ("out",))
    with pytest.raises(AssetError, match="expected a TensorFlow.js graph model"):
        GraphModel.load(tmp_path / "absent.json", ("out",))


def test_broken_graphs_are_refused(tmp_path: Path) -> None:
    circle = [node("a", "Relu", ["b"]), node("b", "Relu", ["a"])]
    with pytest.raises(AssetError, match="without cycles"):
        GraphModel.load(write_model(tmp_path, circle, {}), ("a",))
    with pytest.raises(AssetError, match="expected a node gone"):
        GraphModel.load(write_model(tmp_path, [node("a", "Relu", ["gone"])], {}), ("a",))
