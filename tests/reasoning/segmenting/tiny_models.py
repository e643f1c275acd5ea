"""Small randomly initialised models of the real classes, saved in the published layouts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tests.doubles.sam2_random import randomise
from tests.reasoning.segmenting.scripted_weights import SPOKEN, follow, vocabulary

HIDDEN, WORDS = 32, 256  # of the language side; of SAM's embeddings
SPECIAL = (
    "<eos>", "<bos>", "[SEG]", "<p>", "</p>", "<im_start>", "<im_end>", "<|im_start|>",
    "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer() -> Any:
    """One token a byte, and the special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<eos>", bos_token="<bos>", pad_token="<eos>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[2:])})
    return tokenizer


def qwen_processor(tokenizer: Any) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    eyes = Qwen2VLImageProcessor(patch_size=8, merge_size=2, min_pixels=16 * 16, max_pixels=64 * 64)
    return Qwen3VLProcessor(eyes, tokenizer, Qwen3VLVideoProcessor(), chat_template=TEMPLATE)


def qwen_settings(tokenizer: Any) -> dict[str, Any]:
    def number(name: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(name))

    return {
        "image_token_id": number("<|image_pad|>"),
        "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"),
        "vision_end_token_id": number("<|vision_end|>"),
        "tie_word_embeddings": False,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "vocab_size": len(tokenizer),
            "hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2],
            },
        },
        "vision_config": {
            "model_type": "qwen3_vl",  # as older checkpoints have it
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": HIDDEN,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
    }  # fmt: skip


def save_sa2va(
    folder: Path, grounding: dict[str, torch.Tensor], scripted: bool = False
) -> tuple[Any, dict[str, torch.Tensor]]:
    """A checkpoint as ByteDance publishes them; returns its language model and its parameters.

    `grounding`: parameters below `grounding_encoder.`; `scripted`: it looks a cat up and ends.
    """
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = byte_tokenizer()
    if scripted:
        tokenizer.add_tokens(list(SPOKEN))
    settings = qwen_settings(tokenizer)
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**json.loads(json.dumps(settings))))
    randomise(model.eval(), 1)
    if scripted:
        table, head = "model.language_model.embed_tokens.weight", "lm_head.weight"
        follow(dict(model.state_dict()), vocabulary(tokenizer), table, head)
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    weights |= {f"grounding_encoder.{key}": value for key, value in grounding.items()}
    weights |= {f"text_hidden_fcs.{key}": value for key, value in fcs(HIDDEN).items()}
    folder.mkdir(parents=True)
    save_parts(folder, weights)
    code = {"AutoModel": "modeling_sa2va_qwen.Sa2VAChatModelQwen"}
    config = {
        **settings,
        "model_type": "sa2va_chat",
        "architectures": ["Sa2VAChatModelQwen"],
        "auto_map": {"AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfigQwen", **code},
    }
    (folder / "config.json").write_text(json.dumps(config))
    qwen_processor(tokenizer).save_pretrained(folder)
    return model, weights


def save_parts(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Two files of weights and their index."""
    halves = sorted(weights)[::2], sorted(weights)[1::2]
    where: dict[str, str] = {}
    for number, names in enumerate(halves, 1):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file({key: weights[key].clone().contiguous() for key in names}, folder / name)
        where |= dict.fromkeys(names, name)
    told = json.dumps({"metadata": {}, "weight_map": where})
    (folder / "model.safetensors.index.json").write_text(told, encoding="utf-8")


def fcs(width: int) -> dict[str, torch.Tensor]:
    """text_hidden_fcs."""
    generator = torch.Generator().manual_seed(3)
    layers = torch.nn.Sequential(
        torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, WORDS)
    )
    with torch.no_grad():
        for value in layers.parameters():
            value.copy_(torch.randn(value.shape, generator=generator))
    return dict(layers.state_dict())


def picture(seed: int = 0, size: tuple[int, int] = (48, 64)) -> Any:
    """[H, W, 3] of noise."""
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
