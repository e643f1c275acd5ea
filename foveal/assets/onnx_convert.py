"""MobileSAM's exported ONNX graphs: their weights under the names of this project's modules.

The exporter names a node after its module ("/layers.1/blocks.0/mlp/fc1/MatMul"), which tells whose
weights it reads even where constants have lost their names. Batch norms are folded already.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.errors import AssetError

Array = npt.NDArray[np.float32]
Renames = tuple[tuple[str, str], ...]
Named = dict[str, list[Array]]  # a node's name -> the constants among its inputs, in order

# What the last part of a node's name says of its constants; matrices of MatMul lie [in, out].
PARTS = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "LayerNormalization"), ("weight", "bias")),
    **dict.fromkeys(("MatMul", "Mul"), ("weight",)),
    **dict.fromkeys(("Add", "Add_1"), ("bias",)),
}
ENCODER: Renames = (
    (r"\.c\.", "."),  # a convolution and its batch norm
    (r"^patch_embed\.seq\.", "patch_embed."),
    (r"^neck\.0\.", "neck.conv1."),
    (r"^neck\.1\.", "neck.layer_norm1."),
    (r"^neck\.2\.", "neck.conv2."),
    (r"^neck\.3\.", "neck.layer_norm2."),
)
DECODER: Renames = (
    (r"^(transformer|output_|iou_)", r"decoder.\1"),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"(mlps\.\d|head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d|head)\.layers\.1\.", r"\1.layers.0."),
    (r"(mlps\.\d|head)\.layers\.2\.", r"\1.proj_out."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
)
LABELS = ("/Mul_3", "/Mul_4", "/Mul_5", "/Mul_6", "/Mul_7")  # of points, from -1 (none) on


def encoder_weights(model: Path) -> dict[str, Array]:
    """The arrays of `perception.masks.tiny_vit`; raises AssetError for no ONNX file."""
    return _state(_constants(model), ENCODER)


def decoder_weights(model: Path) -> dict[str, Array]:
    """The arrays of `perception.masks.sam_decoder`; raises AssetError for another file."""
    named = _constants(model)
    try:
        tokens = named["/Expand_1"][0][0]
        own = {
            "gauss": named.pop("/pe_layer/MatMul")[-1],
            "labels": np.concatenate([named[name][0] for name in LABELS]),
            "no_mask": named["/Mul_9"][0].reshape(-1),
            "decoder.iou_token.weight": tokens[:1],
            "decoder.mask_tokens.weight": tokens[1:],
        }
    except KeyError as error:
        raise AssetError(f"expected SAM's mask decoder in {model}, it lacks {error}") from error
    return _state(named, DECODER) | own


def _state(named: Named, renames: Renames) -> dict[str, Array]:
    state: dict[str, Array] = {}
    for node, constants in named.items():
        path, _, leaf = node.strip("/").rpartition("/")
        # A sequence's parts are named twice: "/patch_embed/seq/seq.0".
        path = re.sub(r"(\w+)/\1\.(\d)", r"\1.\2", path).replace("/", ".")
        if not path or leaf not in PARTS:
            continue
        for part, value in zip(PARTS[leaf], constants, strict=False):
            name = f"{path}.{part}"
            for pattern, new in renames:
                name = re.sub(pattern, new, name)
            # Norms over channels lie as [C, 1, 1].
            flat = value.reshape(-1) if value.size == max(value.shape) else value
            state[name] = np.ascontiguousarray(flat.T if leaf == "MatMul" else flat)
    return state


def _constants(model: Path) -> Named:
    """Of each node; single numbers are left out. Raises AssetError for no ONNX file."""
    import onnx

    try:
        graph: Any = onnx.load(model).graph
    except Exception as error:  # protobuf has error types of its own
        raise AssetError(f"expected an ONNX model in {model}: {error}") from error
    stored = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            stored[node.output[0]] = node.attribute[0].t
    arrays = {
        name: onnx.numpy_helper.to_array(each)
        for name, each in stored.items()
        if each.data_type == onnx.TensorProto.FLOAT and np.prod(each.dims) > 1
    }
    found = {n.name: [arrays[i] for i in n.input if i in arrays] for n in graph.node}
    return {name: constants for name, constants in found.items() if constants}
