"""TensorFlow.js graph models: their weights under the names of this project's modules.

The format is tfjs-converter's: a JSON manifest says where each constant lies in the files beside
it. Kernels lie as [h, w, in, out], depthwise ones as [h, w, channels, 1]; batch norms are folded.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.errors import AssetError

Arrays = dict[str, npt.NDArray[np.float32]]
DTYPES = {"float16": "<f2", "float32": "<f4", "int32": "<i4"}

# CenterNet's names -> CenterNet's modules, one after another.
RENAMES = (
    (r"^tower_0/", ""),
    (r"^MobilenetV3/Conv/", "stem/"),
    (r"^MobilenetV3/expanded_conv/", "blocks/0/"),
    (r"^MobilenetV3/expanded_conv_(\d+)/", r"blocks/\1/"),
    (r"/squeeze_excite/Conv/", "/squeeze/reduce/"),
    (r"/squeeze_excite/Conv_1/", "/squeeze/expand/"),
    (r"^extern1/", "last/"),
    (r"^CenternetHead/(c\d)_reverse/1x1/", r"laterals/\1/reduce/"),
    (r"^CenternetHead/(c\d)_reverse/3x3/", r"laterals/\1/look/"),
    (r"^CenternetHead/(c\d)_upsample/branch_x_upsample_resize/", r"ups/\1/near/"),
    (r"^CenternetHead/(c\d)_upsample/branch_y_upsample_resize/", r"ups/\1/far/"),
    (r"^CenternetHead/conv1x1_se_a/", "gate/reduce/"),
    (r"^CenternetHead/conv1x1_se_b/", "gate/expand/"),
    (r"^CenternetHead/centernet_cls_output/", "heat/"),
    (r"^CenternetHead/centernet_wh_output/", "reach/"),
    (r"(?<!depthwise)/depthwise_weights$", "/depthwise/weight"),
    (r"/(separable_conv2d|pointwise)_weights$", "/pointwise/weight"),
    (r"/separable_conv2d_bn_offset$|(?<=heat|each)/biases$", "/pointwise/bias"),
    (r"/(Conv2D_|depthwise_)?weights$", "/weight"),
    (r"/((Conv2D|depthwise)_bn_offset|biases)$", "/bias"),
)
UNIT = "tower_0/mul/y"
SIXTH = "tower_0/MobilenetV3/expanded_conv_{}/squeeze_excite/Conv_1/mul/y"
FACE_BLOCKS = 31
# BlazeFace's constants are numbered: the stem's, those of block n from 4 n + 1 on, and these.
FACE_HEADS = {
    "coarser.0.weight": 125,
    "coarser.1.weight": 127,
    "coarser.1.bias": 128,
    "coarse.boxes.weight": 129,
    "coarse.boxes.bias": 130,
    "fine.boxes.weight": 131,
    "fine.boxes.bias": 132,
    "coarse.scores.weight": 133,
    "coarse.scores.bias": 134,
    "fine.scores.weight": 135,
    "fine.scores.bias": 136,
}


def centernet_weights(model: Path) -> Arrays:
    """The arrays of `perception.detect.centernet`; raises AssetError for another file.

    Two factors of the graph go into the convolutions beside them: a hard sigmoid's sixth, which the
    export rounded to half precision, and the 16 pixels of a box's unit.
    """
    constants = read_tfjs(model)
    if UNIT not in constants:
        raise AssetError(f"expected MobileNetV3-CenterNet in {model}, it lacks {UNIT}")
    state: Arrays = {}
    for name, value in constants.items():
        for pattern, new in RENAMES:
            name = re.sub(pattern, new, name)
        if name.endswith(("/weight", "/bias")):
            state[name.replace("/", ".")] = _torch_order(value, "/depthwise/" in name)
    for name, value in state.items():
        block = re.fullmatch(r"blocks\.(\d+)\.project\.weight", name)
        if block and SIXTH.format(block[1]) in constants:
            value *= 6 * float(constants[SIXTH.format(block[1])])
        elif name.startswith("reach.pointwise."):
            value *= float(constants[UNIT])
    return state


def blazeface_weights(model: Path) -> Arrays:
    """The arrays of `perception.detect.blazeface`; raises AssetError for another file."""
    constants = read_tfjs(model)
    numbers = {"stem.bias": 0, **FACE_HEADS}
    for block in range(FACE_BLOCKS):
        numbers[f"blocks.{block}.depthwise.weight"] = 4 * block + 1
        numbers[f"blocks.{block}.pointwise.weight"] = 4 * block + 3
        numbers[f"blocks.{block}.pointwise.bias"] = 4 * block + 4
    names = {"stem.weight": "unknown"} | {key: f"unknown_{n}" for key, n in numbers.items()}
    lost = sorted(set(names.values()) - set(constants))
    if lost:
        raise AssetError(f"expected BlazeFace's back camera model in {model}, it lacks {lost[:3]}")
    depthwise = ("depthwise.weight", "coarser.0.weight")
    arrays = {key: constants[name] for key, name in names.items()}
    return {key: _torch_order(each, key.endswith(depthwise)) for key, each in arrays.items()}


def read_tfjs(model: Path) -> Arrays:
    """Constants by name, as float32; raises AssetError for files that are no whole graph model."""
    try:
        manifest = json.loads(model.read_text(encoding="utf-8"))["weightsManifest"]
        return {name: value for group in manifest for name, value in _group(group, model.parent)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(
            f"expected a TensorFlow.js graph model in {model}: {type(error).__name__}: {error}"
        ) from error


def _group(group: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    paths = [str(name) for name in group["paths"]]
    if any(Path(name).name != name for name in paths):
        raise ValueError(f"expected weight files beside the model, got {paths}")
    data, at = b"".join((folder / name).read_bytes() for name in paths), 0
    for entry in group["weights"]:
        stored: npt.DTypeLike = DTYPES[entry.get("quantization", entry)["dtype"]]
        shape = [int(side) for side in entry["shape"]]
        # Raises ValueError where the data are too short.
        values: npt.NDArray[Any] = np.frombuffer(data, stored, int(np.prod(shape)), at)
        at += values.nbytes
        yield str(entry["name"]), values.reshape(shape).astype(np.float32)
    if at != len(data):
        raise ValueError(f"expected {at} bytes of weights in {paths}, got {len(data)}")


def _torch_order(value: npt.NDArray[np.float32], depthwise: bool) -> npt.NDArray[np.float32]:
    """[out, in, h, w]; a bias stays."""
    order = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
    return np.ascontiguousarray(value.transpose(order) if value.ndim == 4 else value)
