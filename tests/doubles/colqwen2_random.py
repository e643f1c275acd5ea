"""A small ColQwen2 with random weights, of the real classes, saved as a published one."""

from pathlib import Path

import torch

from tests.doubles.encoder_random import stirred
from tests.doubles.vlm_random import byte_tokenizer

SPACE = 16


def save_colqwen2(folder: Path, seed: int = 0) -> None:
    """Patches of 8 x 8 pixels, four of them a cell; a page has at most 64 cells."""
    import transformers as t

    torch.manual_seed(seed)
    names = {
        "image_token": "<|image_pad|>",
        "vision_start": "<|vision_start|>",
        "vision_end": "<|vision_end|>",
        "video_token": "<|video_pad|>",
    }
    tokenizer = byte_tokenizer("<|endoftext|>", names)
    ids = {name: tokenizer.convert_tokens_to_ids(word) for name, word in names.items()}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]
        },
        "max_position_embeddings": 1024,
    }  # fmt: skip
    eyes = {
        "depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 8,
        "mlp_ratio": 2, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    config = t.Qwen2VLConfig(
        text_config=text,
        vision_config=eyes,
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    model = t.ColQwen2ForRetrieval(t.ColQwen2Config(vlm_config=config, embedding_dim=SPACE))
    size = {"shortest_edge": 256, "longest_edge": 64 * 256}
    pictures = t.Qwen2VLImageProcessor(patch_size=8, merge_size=2, size=size)
    stirred(model).save_pretrained(folder)
    t.ColQwen2Processor(pictures, tokenizer).save_pretrained(folder)
