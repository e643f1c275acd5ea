"""Turn the pinned GGUF language model into safetensors once, so that loading takes a second.

GGUF stores Llama's query and key rows interleaved for llama.cpp's rotary embedding; they are put
back in the half-split order that transformers expects.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.errors import AssetError

_LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
_TOP_NAMES = {
    "token_embd": "model.embed_tokens.weight",
    "output_norm": "model.norm.weight",
    "output": "lm_head.weight",
}


def convert_llama_gguf(source: Path, folder: Path) -> None:
    """Write model.safetensors (bfloat16), config.json and the tokenizer into `folder`.

    Raises AssetError when the file is not a Llama GGUF.
    """
    import torch
    from gguf import GGUFReader, dequantize
    from transformers import AutoTokenizer, LlamaForCausalLM

    reader = GGUFReader(source)
    fields = {name: _value(part) for name, part in reader.fields.items()}
    if fields.get("general.architecture") != "llama":
        raise AssetError(
            f"expected a GGUF file of architecture llama, got "
            f"{fields.get('general.architecture')!r} in {source.name}"
        )
    config = _llama_config(fields)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    state = {}
    for tensor in reader.tensors:
        weight = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        part = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if part in heads:
            weight = _half_split(weight, heads[part])
        state[_transformers_name(tensor.name)] = torch.from_numpy(weight.copy())
    state.setdefault("lm_head.weight", state["model.embed_tokens.weight"])
    model = LlamaForCausalLM(config)
    model.load_state_dict(state)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer.save_pretrained(folder)


def _transformers_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.weight"
    return _TOP_NAMES[parts[0]]


def _half_split(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """[heads * d, in] rows from pair-interleaved to half-split order within each head."""
    pairs = weight.shape[0] // heads // 2
    split = weight.reshape(heads, pairs, 2, weight.shape[1])
    return split.swapaxes(1, 2).reshape(weight.shape)


def _llama_config(fields: dict[str, Any]) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        rope_theta=fields["llama.rope.freq_base"],
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        tie_word_embeddings=True,
    )


def _value(part: Any) -> Any:
    """A GGUF field as a plain Python value."""
    return part.contents()
