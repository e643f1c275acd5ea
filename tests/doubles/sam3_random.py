"""SAM 3 models with random weights, of the real classes and at any size.

Written with `save_pretrained`, they load through the same path as the published ones: the phrase
segmenter (`sam3`, `sam3_lite_text`), the tracker (`sam3_tracker_video`), and both in one folder as
they are published (`sam3_video`).
"""

from pathlib import Path
from typing import Any

import torch

from tests.doubles.sam2_random import MEMORY_GAIN, PRESENCE_BIAS, randomise

SIDE = 112  # px; 8 x 8 patches
HEADS = 2


def vision_config(side: int, hidden: int) -> Any:
    """A vision transformer of two blocks, one in windows and one over the whole picture."""
    from transformers import Sam3VisionConfig, Sam3ViTConfig

    grid = side // 14
    backbone = Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        image_size=side,
        window_size=4,
        global_attn_indexes=[1],
        pretrain_image_size=56,
    )
    sizes = [[4 * grid] * 2, [2 * grid] * 2, [grid] * 2]
    return Sam3VisionConfig(
        backbone_config=backbone, fpn_hidden_size=hidden, backbone_feature_sizes=sizes
    )


def tiny_phrase_config(side: int = SIDE, hidden: int = 32, lite: bool = False) -> Any:
    """A `Sam3Config`, or with `lite` a `Sam3LiteTextConfig`, of 300 thousand parameters."""
    from transformers import Sam3Config, Sam3LiteTextConfig

    layer = {"hidden_size": hidden, "num_attention_heads": HEADS}
    deep = {**layer, "num_layers": 2, "intermediate_size": 2 * hidden}
    text = {
        "vocab_size": len(_vocabulary()),
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 32,
    }
    special = {"bos_token_id": len(_vocabulary()) - 2, "eos_token_id": len(_vocabulary()) - 1}
    kind = Sam3LiteTextConfig if lite else Sam3Config
    return kind(
        vision_config=vision_config(side, hidden),
        text_config=text if lite else {"model_type": "clip_text_model", **text, **special},
        geometry_encoder_config=deep,
        detr_encoder_config=deep,
        detr_decoder_config={**deep, "num_queries": 6},
        mask_decoder_config=layer,
    )


def tiny_tracker_config(side: int = SIDE, hidden: int = 128) -> Any:
    """A `Sam3TrackerVideoConfig` of about a million parameters."""
    from transformers import Sam3TrackerVideoConfig

    return Sam3TrackerVideoConfig(
        vision_config=vision_config(side, hidden),
        prompt_encoder_config={"hidden_size": hidden},
        mask_decoder_config={
            "hidden_size": hidden,
            "mlp_dim": 2 * hidden,
            "iou_head_hidden_dim": hidden,
        },
        image_size=side,
        memory_attention_hidden_size=hidden,
        memory_attention_feed_forward_hidden_size=2 * hidden,
        memory_attention_num_layers=2,
        memory_encoder_hidden_size=hidden,
        mask_downsampler_embed_dim=hidden,
        memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=2 * hidden,
    )


def random_phrase_model(config: Any, seed: int = 0) -> Any:
    """A `Sam3Model` or `Sam3LiteTextModel` with every weight drawn from `seed`."""
    from transformers import Sam3LiteTextModel, Sam3Model

    model = {"sam3": Sam3Model, "sam3_lite_text": Sam3LiteTextModel}[config.model_type](config)
    randomise(model.eval(), seed)
    return model


def random_tracker_model(config: Any, seed: int = 0, gain: float = MEMORY_GAIN) -> Any:
    """A `Sam3TrackerVideoModel` whose parts all show in the masks, memory more with `gain`."""
    from transformers import Sam3TrackerVideoModel

    model = Sam3TrackerVideoModel(config)
    randomise(model.eval(), seed)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(PRESENCE_BIAS)
        for name, parameter in model.memory_attention.named_parameters():
            if "cross" in name and name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(gain)  # look at single memories, not at their average
        model.memory_encoder.mask_downsampler.final_conv.weight.mul_(gain)
        shared = model.shared_image_embedding.positional_embedding
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(shared)
    return model


def save_phrase_model(folder: Path, lite: bool = False, seed: int = 0, side: int = SIDE) -> Any:
    """Write a phrase segmenter as it is published: weights, tokenizer and picture processor."""
    model = random_phrase_model(tiny_phrase_config(side, lite=lite), seed)
    model.save_pretrained(folder)
    save_processor(folder, side)
    return model


def save_processor(folder: Path, side: int = SIDE) -> None:
    """A `Sam3Processor` with a tokenizer of single letters."""
    from transformers import CLIPTokenizer, Sam3ImageProcessor, Sam3Processor

    tokenizer = CLIPTokenizer(vocab=_vocabulary(), merges=[])
    image = Sam3ImageProcessor(size={"height": side, "width": side})
    Sam3Processor(image, tokenizer).save_pretrained(folder)


def _vocabulary() -> dict[str, int]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    return {word: number for number, word in enumerate(words)}
