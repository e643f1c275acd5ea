"""SAM 2 and EdgeTAM models with random weights, of the real classes and at any size.

For tests and benchmarks where no trained weights are at hand: written with `save_pretrained`, they
load through the same path as the real ones. Every parameter is drawn at random, also those that
transformers starts at zero, so that each part of the memory takes part in the result.
"""

from typing import Any

import torch

MEMORY_GAIN = 2.0
TOKEN_GAIN, POINTER_GAIN, MASK_GAIN = 6.0, 1.5, 3.0
PRESENCE_BIAS = 2.0  # most objects count as in view


def tiny_config(image_size: int = 128, hidden: int = 128) -> Any:
    """A `Sam2VideoConfig` of about a million parameters."""
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig

    grid = image_size // 16
    backbone = Sam2HieraDetConfig(
        hidden_size=12,
        image_size=[image_size, image_size],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[12, 24, 48, 96],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[96, 48, 24, 12],
        backbone_feature_sizes=[[4 * grid] * 2, [2 * grid] * 2, [grid] * 2],
        fpn_hidden_size=hidden,
    )
    return Sam2VideoConfig(vision_config=vision, **_video_settings(image_size, hidden))


def tiny_edgetam_config(image_size: int = 128, hidden: int = 128) -> Any:
    """An `EdgeTamVideoConfig` with the backbone it is trained with, and small other parts."""
    from transformers import EdgeTamVideoConfig, EdgeTamVisionConfig, TimmWrapperConfig

    grid = image_size // 16
    backbone = TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    vision = EdgeTamVisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[384, 192, 96, 48],
        backbone_feature_sizes=[[4 * grid] * 2, [2 * grid] * 2, [grid] * 2],
        fpn_hidden_size=hidden,
    )
    settings = _video_settings(image_size, hidden)
    settings["memory_attention_mlp_hidden_size"] = 2 * hidden
    del settings["memory_attention_feed_forward_hidden_size"]
    return EdgeTamVideoConfig(
        vision_config=vision,
        memory_attention_rope_k_sizes=[4, 4],
        perceiver_resampler_num_latents=16,
        perceiver_resampler_num_latents_2d=16,
        **settings,
    )


def _video_settings(image_size: int, hidden: int) -> dict[str, Any]:
    grid = image_size // 16
    return {
        "prompt_encoder_config": {"hidden_size": hidden, "image_size": image_size},
        "mask_decoder_config": {
            "hidden_size": hidden,
            "mlp_dim": 2 * hidden,
            "iou_head_hidden_dim": hidden,
        },
        "image_size": image_size,
        "memory_attention_hidden_size": hidden,
        "memory_attention_feed_forward_hidden_size": 2 * hidden,
        "memory_attention_num_layers": 2,
        "memory_attention_rope_feat_sizes": [grid, grid],
        "memory_encoder_hidden_size": hidden,
        "mask_downsampler_embed_dim": hidden,
        "memory_fuser_embed_dim": hidden,
        "memory_fuser_intermediate_dim": 2 * hidden,
    }


def random_model(config: Any, seed: int = 0) -> Any:
    """A model of the configuration's class with every weight drawn from `seed`."""
    from transformers import EdgeTamVideoModel, Sam2VideoModel

    kinds = {"sam2_video": Sam2VideoModel, "edgetam_video": EdgeTamVideoModel}
    model = kinds[config.model_type](config)
    randomise(model.eval(), seed)
    with torch.no_grad():
        _tame(model)
        _calibrate(model)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(PRESENCE_BIAS)
        for name, parameter in model.memory_attention.named_parameters():
            if "cross" in name and name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(MEMORY_GAIN)  # look at single memories, not at their average
        model.memory_encoder.mask_downsampler.final_conv.weight.mul_(MEMORY_GAIN)
        shared = model.shared_image_embedding.positional_embedding
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(shared)
    return model


def random_predictor(image_size: int, seed: int = 2) -> Any:
    """The sam2 package's SAM 2.1-tiny predictor with random weights.

    Scaled so that a part that is taken for another shows: features of unit size, memory that is
    looked at singly, mask prompts that count, mask tokens and the pointers of them far apart.
    """
    from perception.sam2_tracking.reference import CONFIGS, build_predictor

    model = build_predictor(CONFIGS[(96, 12)], image_size)
    randomise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        places = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
        places.copy_(torch.randn(places.shape, generator=generator))
        model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(PRESENCE_BIAS)
        noise = torch.randn(1, 3, image_size, image_size, generator=generator)
        tokens = model.forward_image(noise)["backbone_fpn"][-1]
        for conv in model.image_encoder.neck.convs:
            conv.conv.weight.div_(tokens.std())
            conv.conv.bias.div_(tokens.std())
        for name, parameter in model.memory_attention.named_parameters():
            if "cross" in name and name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(MEMORY_GAIN)
        model.sam_mask_decoder.mask_tokens.weight.mul_(TOKEN_GAIN)
        model.sam_prompt_encoder.mask_downscaling[6].weight.mul_(MASK_GAIN)
        for layer in model.obj_ptr_proj.layers:
            layer.weight.mul_(POINTER_GAIN)
    return model


def _tame(model: Any) -> None:
    """Halve a convolutional backbone's normalisations: its random depth multiplies rounding."""
    for module in model.vision_encoder.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.mul_(0.5)


def _calibrate(model: Any) -> None:
    """Bring picture features to unit size: a random convolutional backbone may blow them up."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 3, model.config.image_size, model.config.image_size, generator=generator)
    tokens = model.get_image_features(noise, return_dict=True).fpn_hidden_states[-1]
    for conv in model.vision_encoder.neck.convs:
        conv.weight.div_(tokens.std())
        conv.bias.div_(tokens.std())


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Draw every parameter: scales near 1, weights to keep activations' size, the rest small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(1 + 0.1 * noise)
            elif parameter.ndim >= 2 and name.endswith("weight") and "embed" not in name:
                parameter.copy_(noise / max(1, parameter[0].numel()) ** 0.5)
            elif name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(0.5 * noise)
