"""Small randomly initialised encoders of the real classes, saved as published ones."""

import json
from pathlib import Path
from typing import Any

import torch

from tests.doubles.vlm_random import byte_tokenizer

SIDE, PATCH, SPACE = 32, 8, 24  # pixels, pixels, length of a vector
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
OPEN_CLIP = {
    "foveal-test-vit": {
        "embed_dim": SPACE,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 64, "patch_size": PATCH},
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    },
    "foveal-test-timm": {
        "embed_dim": 96,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit3",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    },
}


def save_hf(family: str, folder: Path, seed: int = 0) -> Any:
    """A model of one of `retrieval.encoders.hf.FAMILIES` with its processor; returns the model."""
    import transformers as t

    torch.manual_seed(seed)
    tokenizer = _folding_tokenizer() if family == "siglip2" else _ending_tokenizer()
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    eyes = {**TOWER, "image_size": SIDE, "patch_size": PATCH}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    if family in ("clip", "metaclip_2"):
        config, model = {
            "clip": (t.CLIPConfig, t.CLIPModel),
            "metaclip_2": (t.MetaClip2Config, t.MetaClip2Model),
        }[family]
        told = {"text_config": {**text, **ends}, "vision_config": eyes}
        made = model(config(**told, projection_dim=SPACE))
        size = {"shortest_edge": SIDE}, {"height": SIDE, "width": SIDE}
        pictures = t.CLIPImageProcessor(size=size[0], crop_size=size[1])
        processor = t.CLIPProcessor(pictures, tokenizer)
    elif family == "siglip":
        made = t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=eyes))
        pictures = t.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
        processor = t.SiglipProcessor(pictures, tokenizer)
    else:
        grid = {**TOWER, "num_patches": 16, "patch_size": PATCH}
        made = t.Siglip2Model(t.Siglip2Config(text_config=text, vision_config=grid))
        pictures = t.Siglip2ImageProcessor(patch_size=PATCH, max_num_patches=16)
        processor = t.Siglip2Processor(pictures, tokenizer)
    stirred(made)
    made.save_pretrained(folder)
    processor.save_pretrained(folder)
    return made


def _ending_tokenizer() -> Any:
    """Bytes, and the end that CLIP takes its vector from."""
    from tokenizers import processors

    tokenizer = byte_tokenizer("<end>", {})
    ending = [("<end>", tokenizer.eos_token_id)]
    made = processors.TemplateProcessing(single="$A <end>", special_tokens=ending)
    tokenizer.backend_tokenizer.post_processor = made
    return tokenizer


def _folding_tokenizer() -> Any:
    """SigLIP 2's own class, which folds capitals; of words it knows bytes alone."""
    from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocab = {word: n for n, word in enumerate([*special, *(f"<0x{n:02X}>" for n in range(256))])}
    return Siglip2Tokenizer(vocab=vocab, merges=[])


def save_open_clip(name: str, file: Path, seed: int = 0) -> Any:
    """A model of `OPEN_CLIP`, made known to the package; returns it."""
    import open_clip
    from safetensors.torch import save_file

    folder = file.parent / "configs"
    folder.mkdir(exist_ok=True)
    for each, config in OPEN_CLIP.items():
        (folder / f"{each}.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(folder)
    torch.manual_seed(seed)
    made = stirred(open_clip.create_model(name, pretrained=None))
    tensors = {key: value.clone().contiguous() for key, value in made.state_dict().items()}
    save_file(tensors, file) if file.suffix == ".safetensors" else torch.save(tensors, file)
    return made


def stirred(model: Any) -> Any:
    """A model whose biases and norms are no constants, and whose vectors tell pictures apart."""
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.2)
    return model.eval()
