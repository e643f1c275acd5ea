"""EdgeTAM's official checkpoint (`edgetam.pt`) as a transformers model, its weights renamed."""

import re
from typing import Any

import torch

from perception.sam2.convert import Weights, fill, rename, resize_config

TRAINED_SIZE = 1024  # px

RENAMES = (
    (r"^vision_encoder\.backbone\.body\.", "vision_encoder.backbone.timm_model."),
    (r"^(memory_attention\.layers\.\d+)\.linear1\.", r"\1.mlp.up_proj."),
    (r"^(memory_attention\.layers\.\d+)\.linear2\.", r"\1.mlp.down_proj."),
    (r"^spatial_perceiver\.latents$", "spatial_perceiver.latents_1d"),
    (r"^spatial_perceiver\.norm\.", "spatial_perceiver.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.norm_x\.", r"\1.layer_norm_input."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.norm_latents\.", r"\1.layer_norm_latents."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.to_(\w+)\.", r"\1.cross_attention.\2_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_attn\.norm\.", r"\1.layer_norm_self."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_attn\.to_(\w+)\.", r"\1.self_attention.\2_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.ff\.0\.", r"\1.mlp.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+)\.ff\.1\.", r"\1.mlp.up_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.ff\.3\.", r"\1.mlp.down_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_ff\.0\.", r"\1.self_mlp.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_ff\.1\.", r"\1.self_mlp.up_proj."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_ff\.3\.", r"\1.self_mlp.down_proj."),
)


def is_edgetam(weights: Weights) -> bool:
    """Whether a state dict is EdgeTAM's and not SAM 2's."""
    return "spatial_perceiver.latents" in weights


def convert_edgetam(weights: Weights, image_size: int | None = None) -> Any:
    """EdgeTAM's state dict -> `EdgeTamVideoModel`; AssetError that lists what does not match."""
    from transformers import EdgeTamVideoModel

    config = edgetam_config()
    if image_size is not None:
        resize_config(config, image_size)
    model = EdgeTamVideoModel(config)
    fill(model, rename_edgetam(weights))
    scale_latents(model, (image_size or TRAINED_SIZE) / TRAINED_SIZE)
    return model.eval()


def edgetam_config() -> Any:
    """The released EdgeTAM: RepViT-M1, no occlusion embedding, no time code of pointers."""
    from transformers import EdgeTamVideoConfig, EdgeTamVisionConfig, TimmWrapperConfig

    stages = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    backbone = TimmWrapperConfig(architecture="repvit_m1", model_args=stages)
    return EdgeTamVideoConfig(
        vision_config=EdgeTamVisionConfig(backbone_config=backbone),
        enable_occlusion_spatial_embedding=False,
        enable_temporal_pos_encoding_for_object_pointers=False,
    )


def rename_edgetam(weights: Weights) -> Weights:
    """Parameter names of EdgeTAM's code -> names of `EdgeTamVideoModel`."""
    renamed: Weights = {}
    for key, value in rename(weights).items():
        name = key
        for pattern, new in RENAMES:
            name = re.sub(pattern, new, name)
        name = name.replace(".out_proj.", ".o_proj.")  # the perceiver's
        if ".kv_proj." in name:  # one product there, two here
            parts = torch.chunk(value, 2)
            renamed[name.replace(".kv_proj.", ".k_proj.")] = parts[0]
            renamed[name.replace(".kv_proj.", ".v_proj.")] = parts[1]
        else:
            renamed[name] = value
    return renamed


def scale_latents(model: Any, ratio: float) -> None:
    """Place the 2D latents for pictures of `ratio` times the size that the model is trained at.

    Memory attention turns queries by their cell and keys by their latent: at 1024 px latent k of 16
    in a row covers the cells 4k to 4k + 3 of 64. At 512 px there are 32 cells and still 16 latents,
    so latent k stands at k / 2, and a cell and the latent over it are turned as in training.
    Upstream has no such size: its tables are fixed at 1024 px.
    """
    attention = model.memory_attention
    attention.position_ids_k = attention.position_ids_k * ratio
