"""InternVL 2.5 and 3 as their authors store them, on transformers' own classes.

Their parameters are `vision_model.…` (InternViT), `mlp1.…` (the projector) and `language_model.…`
(Qwen2, Qwen3 or InternLM2). Same weights under other names, but two: InternViT keeps queries, keys
and values in one matrix, one after the other; InternLM2 keeps them in groups, for each head of keys
its queries, then the key, then the value. InternLM2 with them taken apart is a Llama.
Source: transformers, models/internvl/convert_internvl_weights_to_hf.py.
"""

import dataclasses
import re
from typing import Any

import torch

from reasoning.segmenting.checkpoint import Weights, fit
from stream.errors import AssetError

PARTS = ("vision_model.", "mlp1.", "language_model.")
UNREAD = {
    "Phi3ForCausalLM": "its weights are fused otherwise, and only InternVL2's Sa2VA-4B has them",
    "LlamaForCausalLM": "no Sa2VA is published on it",
}

_VISION = (
    (r"^vision_model\.", "model.vision_tower."),
    (r"\.class_embedding$", ".cls_token"),
    (r"\.position_embedding$", ".position_embeddings"),
    (r"\.patch_embedding\.", ".patch_embeddings.projection."),
    (r"\.encoder\.layers\.", ".encoder.layer."),
    (r"\.ls(\d)$", r".lambda_\1"),
    (r"\.attn\.proj\.", ".attention.projection_layer."),
    (r"\.attn\.", ".attention."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
)
_PROJECTOR = (
    (r"^mlp1\.0\.", "model.multi_modal_projector.layer_norm."),
    (r"^mlp1\.1\.", "model.multi_modal_projector.linear_1."),
    (r"^mlp1\.3\.", "model.multi_modal_projector.linear_2."),
)
_LANGUAGE = (
    (r"^language_model\.(?:lm_head|output)\.", "lm_head."),
    (r"^language_model\.model\.", "model.language_model."),
    (r"\.tok_embeddings\.", ".embed_tokens."),
    (r"\.attention\.wo\.", ".self_attn.o_proj."),
    (r"\.feed_forward\.w1\.", ".mlp.gate_proj."),
    (r"\.feed_forward\.w2\.", ".mlp.down_proj."),
    (r"\.feed_forward\.w3\.", ".mlp.up_proj."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
)


def load_internvl(settings: dict[str, Any], weights: Weights, dtype: torch.dtype) -> Any:
    """`InternVLForConditionalGeneration` of a checkpoint's config.json and its parameters.

    Raises AssetError for another architecture, and for parameters that do not fit.
    """
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    if settings.get("ps_version", "v2") != "v2" or settings.get("select_layer", -1) != -1:
        raise AssetError(
            "expected an InternVL of ps_version v2 and select_layer -1, got "
            f"{settings.get('ps_version')} and {settings.get('select_layer')}"
        )
    text = _text_config(dict(settings.get("llm_config") or {}))
    config = InternVLConfig(
        text_config=text,
        vision_config=_vision_config(dict(settings.get("vision_config") or {})),
        downsample_ratio=float(settings.get("downsample_ratio", 0.5)),
        tie_word_embeddings=not any(
            key.startswith(("language_model.lm_head.", "language_model.output.")) for key in weights
        ),
    )
    named = rename(weights, text.num_attention_heads, text.num_key_value_heads)
    return fit(InternVLForConditionalGeneration, config, named, dtype)


def rename(weights: Weights, heads: int, keys: int) -> Weights:
    """Stored names -> transformers'. `heads` of queries and of `keys`: of the language side."""
    named: Weights = {}
    for key, value in weights.items():
        name = key
        for pattern, new in (*_VISION, *_PROJECTOR) if key.startswith(PARTS[:2]) else _LANGUAGE:
            name = re.sub(pattern, new, name)
        if ".attention.qkv." in name:
            for letter, rows in zip("qkv", value.chunk(3), strict=True):
                named[name.replace(".qkv.", f".{letter}_proj.")] = rows.contiguous()
        elif ".attention.wqkv." in name:
            for letter, rows in zip("qkv", _groups(value, keys, heads // keys), strict=True):
                named[name.replace("attention.wqkv", f"self_attn.{letter}_proj")] = rows
        else:
            named[name] = value
    return named


def _groups(fused: torch.Tensor, keys: int, queries: int) -> tuple[torch.Tensor, ...]:
    """[keys * (queries + 2) * d, …] of InternLM2 -> rows of queries, of keys and of values."""
    heads = fused.reshape(keys, queries + 2, -1, *fused.shape[1:])
    taken = heads[:, :queries], heads[:, -2], heads[:, -1]
    return tuple(rows.reshape(-1, *fused.shape[1:]).contiguous() for rows in taken)


def _text_config(told: dict[str, Any]) -> Any:
    """Settings of the language side; raises AssetError for one that is not read."""
    from transformers import LlamaConfig, Qwen2Config, Qwen3Config

    families = {
        "Qwen2ForCausalLM": Qwen2Config,
        "Qwen3ForCausalLM": Qwen3Config,
        "InternLM2ForCausalLM": LlamaConfig,
    }
    name = str((told.get("architectures") or ["none"])[0])
    if name not in families:
        reason = UNREAD.get(name)
        raise AssetError(
            f"expected an llm_config of {', '.join(families)}, got {name}"
            + (f": {reason}" if reason else "")
        )
    kept = _known(families[name], told)
    kept["rope_parameters"] = _rotation(told)
    if "bias" in told and name.startswith("InternLM2"):
        kept["attention_bias"] = bool(told["bias"])
    return families[name](**kept)


def _rotation(told: dict[str, Any]) -> dict[str, Any]:
    """rope_theta and rope_scaling as one."""
    scaling = dict(told.get("rope_scaling") or {})
    kind = scaling.pop("type", None) or scaling.pop("rope_type", "default")
    return {**scaling, "rope_type": kind, "rope_theta": float(told.get("rope_theta", 10000.0))}


def _vision_config(told: dict[str, Any]) -> Any:
    from transformers import InternVLVisionConfig

    return InternVLVisionConfig(
        **_known(InternVLVisionConfig, told)
        | {
            "attention_bias": bool(told.get("qkv_bias", True)),
            "use_qk_norm": bool(told.get("qk_normalization", False)),
        }
    )


def _known(config_class: Any, told: dict[str, Any]) -> dict[str, Any]:
    """Those settings that the class has; the others are of training."""
    names = {field.name for field in dataclasses.fields(config_class)}
    skipped = {"architectures", "model_type", "transformers_version", "rope_parameters", "dtype"}
    return {k: v for k, v in told.items() if k in names - skipped and v is not None}
