"""Checkpoints of the `sam2` package (.pt) as transformers models: same weights under other names.

The architecture is read from the shapes in the checkpoint, so no hydra configuration is needed.
"""

import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from stream.errors import AssetError

Weights = dict[str, torch.Tensor]
STRIDE = 16  # picture pixels to one token of the memory
SIGNS = ("image_encoder.trunk.pos_embed", "spatial_perceiver.latents")  # of SAM 2, of EdgeTAM
LISTED = 20  # names of parameters in a refusal

# Released backbones by (embedding width, blocks): heads, blocks per stage, windows, global blocks.
BACKBONES: dict[tuple[int, int], tuple[int, list[int], list[int], list[int], list[int]]] = {
    (96, 12): (1, [1, 2, 7, 2], [8, 4, 14, 7], [5, 7, 9], [7, 7]),
    (96, 16): (1, [1, 2, 11, 2], [8, 4, 14, 7], [7, 10, 13], [7, 7]),
    (112, 24): (2, [2, 3, 16, 3], [8, 4, 14, 7], [12, 16, 20], [14, 14]),
    (144, 48): (2, [2, 6, 36, 4], [8, 4, 16, 8], [23, 33, 43], [7, 7]),
}

RENAMES = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "shared_embedding"),
    (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^sam_mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^sam_mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.out_proj\.(weight|bias)$", r".o_proj.\1"),
    (r"^memory_encoder\.o_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"(memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"\.(gamma|g_weight)$", ".scale"),  # the second as Sa2VA publishes it
)


def read_checkpoint(path: Path) -> Weights:
    """The state dict of a SAM 2 or EdgeTAM `.pt`; raises AssetError for another thing."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise AssetError(f"expected a SAM 2 checkpoint at {path}: {reason}") from error
    weights = loaded.get("model", loaded) if isinstance(loaded, dict) else None
    if not isinstance(weights, dict) or not any(key in weights for key in SIGNS):
        raise AssetError(f"expected the state dict of a SAM 2 model in {path}, found another thing")
    return weights


def convert(weights: Weights, image_size: int | None = None) -> Any:
    """A sam2 package state dict -> `Sam2VideoModel`; raises AssetError when names do not match."""
    from transformers import Sam2VideoModel

    config = _config(weights)
    if image_size is not None:
        resize_config(config, image_size)
    model = Sam2VideoModel(config)
    fill(model, rename(weights))
    return model.eval()


def fill(model: Any, renamed: Weights) -> None:
    """Load all parameters; AssetError that lists what is missing, unknown or of another shape."""
    try:
        absent = model.load_state_dict(renamed, strict=False)
    except RuntimeError as error:  # other shapes, each on a line of its own
        raise AssetError(f"expected a checkpoint with the model's shapes: {error}") from error
    require_whole("the checkpoint", absent.missing_keys, absent.unexpected_keys)


def require_whole(name: str, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """AssetError, with the names, unless all parameters and no others are there."""
    parts = []
    for kind, keys in (("missing", sorted(missing)), ("unknown", sorted(unexpected))):
        if keys:
            more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
            parts.append(f"{len(keys)} {kind}: {', '.join(keys[:LISTED])}{more}")
    if parts:
        raise AssetError(
            f"expected all parameters of the model and no others in {name}, found "
            f"{'; '.join(parts)}. Download it again, or use the checkpoint of another model"
        )


def rename(weights: Weights) -> Weights:
    """Parameter names of the sam2 package -> names of `Sam2VideoModel`."""
    renamed: Weights = {}
    for key, value in weights.items():
        name = key
        for pattern, new in RENAMES:
            name = re.sub(pattern, new, name)
        renamed[_numbered(name)] = value
    points = [f"prompt_encoder.point_embeddings.{index}.weight" for index in range(4)]
    if all(name in renamed for name in points):
        parts = [renamed.pop(name) for name in points]
        renamed["prompt_encoder.point_embed.weight"] = torch.cat(parts)
    shared = renamed.pop("shared_embedding", None)
    if shared is not None:
        renamed["shared_image_embedding.positional_embedding"] = shared
        renamed["prompt_encoder.shared_embedding.positional_embedding"] = shared
    return renamed


def _numbered(name: str) -> str:
    """Names whose numbers mean something else: MLP layers and the mask downsampler."""
    found = re.match(r"^memory_encoder\.mask_downsampler\.encoder\.(\d+)\.(.+)$", name)
    if found:  # conv, norm, activation, conv, norm, activation ... last conv
        index, rest = int(found[1]), found[2]
        if index == 12:
            return f"memory_encoder.mask_downsampler.final_conv.{rest}"
        part = "conv" if index % 3 == 0 else "layer_norm"
        return f"memory_encoder.mask_downsampler.layers.{index // 3}.{part}.{rest}"
    last = 1 if ".mlp.layers." in name else 2  # two-layer and three-layer perceptrons
    perceptron = r"(\.mlp|hypernetworks_mlps\.\d+|prediction_head|score_head|pointer_proj)"
    found = re.search(rf"{perceptron}\.layers\.(\d+)\.", name)
    if found:
        index = int(found[2])
        part = "proj_in" if index == 0 else "proj_out" if index == last else "layers.0"
        return name.replace(f"{found[1]}.layers.{index}.", f"{found[1]}.{part}.")
    return name


def _config(weights: Weights) -> Any:
    """The configuration that fits the shapes of a checkpoint."""
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig

    width, blocks = backbone_of(weights)
    heads, stages, windows, globals_, background = BACKBONES[(width, blocks)]
    widths = [width, 2 * width, 4 * width, 8 * width]
    backbone = Sam2HieraDetConfig(
        hidden_size=width,
        num_attention_heads=heads,
        blocks_per_stage=stages,
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads, 2 * heads, 4 * heads, 8 * heads],
        window_size_per_stage=windows,
        global_attention_blocks=globals_,
        window_positional_embedding_background_size=background,
    )
    # SAM 2.0 has neither the occlusion embedding nor the pointers' time projection.
    newer = "no_obj_embed_spatial" in weights or "obj_ptr_tpos_proj.weight" in weights
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1])
    return Sam2VideoConfig(
        vision_config=vision,
        enable_occlusion_spatial_embedding=newer,
        enable_temporal_pos_encoding_for_object_pointers=newer,
    )


def backbone_of(weights: Weights) -> tuple[int, int]:
    """(embedding width, blocks) of a checkpoint; raises AssetError unless one of BACKBONES."""
    width = weights["image_encoder.trunk.pos_embed"].shape[1]
    numbers = [re.match(r"image_encoder\.trunk\.blocks\.(\d+)\.", key) for key in weights]
    blocks = 1 + max((int(found[1]) for found in numbers if found), default=-1)
    if (width, blocks) not in BACKBONES:
        raise AssetError(
            f"expected a released SAM 2 backbone (width, blocks) of {sorted(BACKBONES)}, "
            f"got {(width, blocks)}"
        )
    return width, blocks


def resize_config(config: Any, image_size: int) -> None:
    """Let a model's configuration work at another resolution; the weights stay the same."""
    grid = image_size // STRIDE
    config.image_size = image_size
    config.prompt_encoder_config.image_size = image_size
    config.memory_attention_rope_feat_sizes = [grid, grid]
    vision = config.vision_config
    vision.backbone_feature_sizes = [[4 * grid] * 2, [2 * grid] * 2, [grid] * 2]
    if getattr(vision.backbone_config, "image_size", None) is not None:
        vision.backbone_config.image_size = [image_size, image_size]
