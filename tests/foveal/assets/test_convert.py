"""Networks converted once: out of which files, whole or not at all, and what is refused."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

from foveal.assets import convert
from foveal.assets.convert import Conversion, check_derived, derive, network_path
from foveal.assets.onnx_convert import decoder_weights, encoder_weights
from foveal.assets.registry import Asset, AssetFile
from foveal.assets.tfjs_convert import Arrays, blazeface_weights, centernet_weights, read_tfjs
from foveal.commands import models as models_command
from perception.features.weights import read_arrays
from stream.errors import AssetError, MissingAssetError, OutputError
from tests.foveal.assets.tfjs_files import write_model

FILE, SOURCE = "net.safetensors", "net.bin"


def asset(content: bytes) -> Asset:
    file = AssetFile(SOURCE, "pkg==1", "net.bin", len(content), hashlib.sha256(content).hexdigest())
    return Asset("tiny", "a test network", "MIT", (file,), derived=(FILE,))


class Reader:
    """Makes a network of a file's bytes and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> Arrays:
        self.calls += 1
        return {"weight": np.frombuffer(path.read_bytes(), np.uint8).astype(np.float32)}


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Reader:
    """A cache with one asset whose network was not converted yet."""
    made = Reader()
    monkeypatch.setitem(convert.CONVERSIONS, FILE, Conversion((SOURCE,), made))
    monkeypatch.setattr("foveal.assets.registry.ASSETS", (asset(b"first"),))
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / SOURCE).write_bytes(b"first")
    return made


def test_a_cache_without_converted_files_is_converted_once(reader: Reader, tmp_path: Path) -> None:
    for _ in range(2):
        path = network_path("tiny", FILE)
        assert path == tmp_path / "tiny" / FILE
        assert load_file(path)["weight"].tolist() == list(b"first")
    assert reader.calls == 1
    assert not derive(asset(b"first"), path.parent)
    assert sorted(each.name for each in path.parent.iterdir()) == [SOURCE, FILE]
    modes = {each.stat().st_mode for each in path.parent.iterdir()}
    assert len(modes) == 1, "who may read a source may read what is made of it"


def test_converted_files_are_enough(reader: Reader, tmp_path: Path) -> None:
    network_path("tiny", FILE)
    (tmp_path / "tiny" / SOURCE).unlink()
    assert network_path("tiny", FILE).is_file()


def test_what_was_never_pulled_is_told(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "tiny" / SOURCE).unlink()
    with pytest.raises(
        MissingAssetError, match=f"{FILE} is missing; run `foveal models pull tiny`"
    ):
        network_path("tiny", FILE)


def test_a_changed_source_is_converted_anew(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network_path("tiny", FILE)
    path.with_name(SOURCE).write_bytes(b"second")
    second = asset(b"second")
    with pytest.raises(AssetError, match="of other files; run `foveal models pull tiny`"):
        check_derived(second, path.parent)
    monkeypatch.setattr("foveal.assets.registry.ASSETS", (second,))
    assert load_file(network_path("tiny", FILE))["weight"].tolist() == list(b"second")
    monkeypatch.setattr(convert, "VERSION", convert.VERSION + 1)
    network_path("tiny", FILE)
    assert reader.calls == 3


def test_a_damaged_source_is_never_converted(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "tiny" / SOURCE).write_bytes(b"fir")
    with pytest.raises(AssetError, match=r"net.bin: expected sha256 .* delete it and pull again"):
        network_path("tiny", FILE)
    assert reader.calls == 0 and not (tmp_path / "tiny" / FILE).exists()


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_half_a_file_is_refused_and_mended_by_a_pull(
    reader: Reader, tmp_path: Path, length: int
) -> None:
    path = network_path("tiny", FILE)
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    with pytest.raises(AssetError, match="a whole safetensors file at .*run `foveal models pull`"):
        network_path("tiny", FILE)
    assert derive(asset(b"first"), path.parent)
    assert read_arrays(path)[0]["weight"].tolist() == list(b"first")


def test_changed_values_are_refused_and_mended_by_a_pull(reader: Reader, tmp_path: Path) -> None:
    path = network_path("tiny", FILE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(AssetError, match="not those that were written; run `foveal models pull`"):
        read_arrays(path)
    with pytest.raises(AssetError, match="not those that were written"):
        check_derived(asset(b"first"), path.parent)
    assert derive(asset(b"first"), path.parent)
    assert read_arrays(path)[0]["weight"].tolist() == list(b"first")


def test_an_interrupted_conversion_leaves_nothing(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        network_path("tiny", FILE)
    assert [each.name for each in (tmp_path / "tiny").iterdir()] == [SOURCE]


def test_a_cache_that_cannot_be_written_is_told(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"to write to .*No space left.*set FOVEAL_CACHE"):
        network_path("tiny", FILE)


def test_verify_tells_of_a_damaged_network(
    reader: Reader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = network_path("tiny", FILE)
    state = models_command._state(asset(b"first"))["state"]
    assert state == "ok"
    save_file({"weight": np.zeros(5, np.float32)}, path)
    assert "of other files" in str(models_command._state(asset(b"first"))["state"])


def test_constants_come_by_name_and_half_ones_grow(tmp_path: Path) -> None:
    constants: dict[str, npt.NDArray[Any]] = {
        "a": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
        "b": np.array([1.5, -2.0], np.float16),
        "c": np.array(3, np.int32),
    }
    found = read_tfjs(write_model(tmp_path, constants))
    assert list(found) == ["a", "b", "c"]
    for name, value in constants.items():
        assert found[name].dtype == np.float32 and np.array_equal(found[name], value)


def test_graph_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path, {"a": np.zeros(4, np.float32)})
    whole = (tmp_path / "model.bin").read_bytes()
    for data in (whole[:-4], whole + b"1234", b""):
        (tmp_path / "model.bin").write_bytes(data)
        with pytest.raises(AssetError, match=r"expected a TensorFlow.js graph model in .*model"):
            read_tfjs(path)
    (tmp_path / "model.bin").write_bytes(whole)
    for read in (blazeface_weights, centernet_weights):
        with pytest.raises(AssetError, match=r"expected .* in .*model.json, it lacks"):
            read(path)
    table = json.loads(path.read_text(encoding="utf-8"))
    table["weightsManifest"][0]["weights"][0]["dtype"] = "uint8"
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(AssetError, match="KeyError: 'uint8'"):
        read_tfjs(path)
    table["weightsManifest"][0]["paths"] = ["../model.bin"]
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(AssetError, match="weight files beside the model"):
        read_tfjs(path)
    for content in ("{}", "[]", "null", "{", ""):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(AssetError, match="expected a TensorFlow.js graph model"):
            read_tfjs(path)
    with pytest.raises(AssetError, match="expected a TensorFlow.js graph model"):
        read_tfjs(tmp_path / "absent.json")


def onnx_file(path: Path) -> Path:
    """A convolution, a linear layer and a norm as the exporter writes them."""
    kernel, matrix = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2), np.ones((3, 2), np.float32)
    matrix[0, 1] = 5
    stored = {"k": kernel, "m": matrix, "half": np.array([0.5], np.float32)}
    bias = numpy_helper.from_array(np.array([1, 2], np.float32))
    nodes = [
        helper.make_node("Conv", ["x", "k", "c"], ["y"], "/patch_embed/seq/seq.0/c/Conv"),
        helper.make_node("Constant", [], ["c"], "/Constant", value=bias),
        helper.make_node("MatMul", ["y", "m"], ["z"], "/layers.1/blocks.0/fc/MatMul"),
        helper.make_node("Add", ["c", "z"], ["w"], "/layers.1/blocks.0/fc/Add"),
        helper.make_node("Mul", ["w", "half"], ["v"], "/layers.1/blocks.0/act/Mul"),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", value, value, tensors)), path)
    return path


def test_constants_of_onnx_get_their_modules_names(tmp_path: Path) -> None:
    found = encoder_weights(onnx_file(tmp_path / "m.onnx"))
    assert {name: value.shape for name, value in found.items()} == {
        "patch_embed.0.weight": (2, 1, 2, 2),
        "patch_embed.0.bias": (2,),
        "layers.1.blocks.0.fc.weight": (2, 3),
        "layers.1.blocks.0.fc.bias": (2,),
    }
    assert found["layers.1.blocks.0.fc.weight"].tolist() == [[1, 1, 1], [5, 1, 1]]


def test_onnx_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx")
    with pytest.raises(AssetError, match="expected SAM's mask decoder in .*m.onnx, it lacks"):
        decoder_weights(path)
    path.write_bytes(path.read_bytes()[:-20])
    for wrong in (path, tmp_path / "absent.onnx"):
        with pytest.raises(AssetError, match="expected an ONNX model in"):
            encoder_weights(wrong)


@pytest.mark.assets
def test_reading_converted_files_needs_no_onnx() -> None:
    try:
        for file in ("encoder.safetensors", "decoder.safetensors"):
            network_path("small-sam", file)
    except MissingAssetError as error:
        pytest.skip(str(error))
    code = (
        "import sys; sys.modules['onnx'] = None\n"  # as where it is not installed
        "from foveal.setup.cutters import load_small_sam; print(type(load_small_sam()).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.split() == ["SmallSam"]
