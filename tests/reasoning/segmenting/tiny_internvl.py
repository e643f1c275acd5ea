"""A small Sa2VA on InternVL in its published container: settings, parts of weights, tokenizer."""

import json
from pathlib import Path
from typing import Any

from reasoning.segmenting.internvl_language import load_tokenizer
from tests.reasoning.segmenting.published_internvl import Sizes, Stored, draw
from tests.reasoning.segmenting.scripted_weights import SPOKEN, follow, vocabulary
from tests.reasoning.segmenting.tiny_models import fcs, save_parts

ADDED = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>",
    "[SEG]", "<p>", "</p>", "<vp>", "</vp>",
)  # fmt: skip


def save_tokenizer(folder: Path, words: tuple[str, ...] = ()) -> int:
    """Qwen2's files with a letter a byte; returns how many tokens there are."""
    from tokenizers import pre_tokenizers

    letters = {c: n for n, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokens = {token: len(letters) + n for n, token in enumerate((*ADDED, *words))}
    added = {
        str(number): {
            "content": token, "lstrip": False, "rstrip": False, "normalized": False,
            "single_word": False, "special": token in ADDED,
        }
        for token, number in tokens.items()
    }  # fmt: skip
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    }
    files = {"vocab.json": letters, "added_tokens.json": tokens, "tokenizer_config.json": settings}
    for name, told in files.items():
        (folder / name).write_text(json.dumps(told), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return len(letters) + len(tokens)


def settings(sizes: Sizes, internlm: bool) -> dict[str, Any]:
    """config.json as Sa2VA writes it."""
    name = "InternLM2ForCausalLM" if internlm else "Qwen2ForCausalLM"
    code = "modeling_sa2va_chat.Sa2VAChatModel"
    return {
        "model_type": "sa2va_chat",
        "architectures": ["Sa2VAChatModel"],
        "auto_map": {
            "AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfig",
            "AutoModel": code,
            "AutoModelForCausalLM": code,
        },
        "template": "internlm2_chat" if internlm else "qwen_chat",
        "select_layer": -1,
        "ps_version": "v2",
        "downsample_ratio": 0.5,
        "llm_config": {
            "architectures": [name],
            "model_type": "internlm2" if internlm else "qwen2",
            "vocab_size": sizes.vocabulary,
            "hidden_size": sizes.hidden,
            "intermediate_size": sizes.inner,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.keys,
            "rms_norm_eps": 1e-6,
            "rope_theta": sizes.theta,
            "rope_scaling": {"factor": 2.0, "type": "dynamic"} if internlm else None,
            "max_position_embeddings": 4096,
            "attn_implementation": "flash_attention_2",
            "bias": False,
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "hidden_size": sizes.seeing,
            "intermediate_size": 2 * sizes.seeing,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.seeing_heads,
            "image_size": sizes.side,
            "patch_size": sizes.patch,
            "qkv_bias": True,
            "qk_normalization": False,
            "norm_type": "layer_norm",
            "hidden_act": "gelu",
            "drop_path_rate": 0.1,
        },
    }


def save_sa2va_internvl(
    folder: Path, grounding: Stored, internlm: bool = False, scripted: bool = False
) -> tuple[Stored, Sizes]:
    """A checkpoint as ByteDance publishes them; returns its parameters and sizes.

    `grounding`: parameters below `grounding_encoder.`; `scripted`: it looks a cat up and ends.
    """
    folder.mkdir(parents=True)
    sizes = Sizes(vocabulary=save_tokenizer(folder, SPOKEN if scripted else ()))
    weights = draw(sizes, internlm)
    if scripted:
        known = vocabulary(load_tokenizer(folder))
        table, head = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"
        follow(weights, known, table, head)
    weights |= {f"grounding_encoder.{key}": value for key, value in grounding.items()}
    weights |= {f"text_hidden_fcs.{key}": value for key, value in fcs(sizes.hidden).items()}
    save_parts(folder, weights)
    told = json.dumps(settings(sizes, internlm))
    (folder / "config.json").write_text(told, encoding="utf-8")
    return weights, sizes
