"""Constants out of ONNX files: by node, packed or raw, and nothing else out of broken bytes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.masks.onnx_weights import read_onnx
from stream.errors import AssetError
from tests.perception.masks.onnx_files import model, node, tensor

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
BIAS = np.array([0.5, -1.5], np.float32)
MODEL = model(
    [
        node("/a/Conv", "Conv", "x", "w", "b"),
        node("/Constant", "Constant", output="c", constant=tensor("", BIAS)),
        node("/a/Add", "Add", "y", "c"),
        node("/a/Relu", "Relu", "z"),
    ],
    [tensor("w", WEIGHT), tensor("b", BIAS, packed=True)],
)


def test_a_node_knows_its_constants(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(MODEL)
    weights = read_onnx(path)
    first, second = weights.of("/a/Conv")
    assert np.array_equal(first, WEIGHT) and np.array_equal(second, BIAS)
    assert np.array_equal(weights.of("/a/Add")[0], BIAS)
    assert weights.nodes["/a/Conv"] == ("Conv", ("x", "w", "b"))


@pytest.mark.parametrize("name", ["/a/Relu", "/b"])
def test_a_node_without_constants_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.onnx").write_bytes(MODEL)
    with pytest.raises(AssetError, match=f"a node {name} with weights"):
        read_onnx(tmp_path / "m.onnx").of(name)


@given(st.integers(0, len(MODEL) - 1))
def test_a_file_that_was_cut_off_is_no_model_or_a_smaller_one(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    _reads_or_refuses(tmp_path_factory.mktemp("onnx") / "m", MODEL[:length])


@given(st.binary(max_size=60), st.integers(0, len(MODEL)))
def test_other_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = tmp_path_factory.mktemp("onnx") / "m"
    _reads_or_refuses(path, noise)
    _reads_or_refuses(path, MODEL[:at] + noise + MODEL[at + len(noise) :])


def _reads_or_refuses(path: Path, data: bytes) -> None:
    """Nothing but AssetError, and every array that is read is whole."""
    path.write_bytes(data)
    try:
        weights = read_onnx(path)
    except AssetError:
        return
    assert all(array.dtype == np.float32 for array in weights.tensors.values())


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="expected an ONNX model in"):
        read_onnx(tmp_path / "absent.onnx")
