"""A tiny random model with a byte-level tokenizer: the real classes, small enough for tests."""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from reasoning.pixsearch.connector import GRID, VisualTokens, grid_boxes
from reasoning.pixsearch.modeling import ModelConfig, PixSearchModel
from reasoning.vlm.causal_lm import CausalLm

CLASSES = ("cat", "red cup", "tree")
SMALL = ModelConfig(lora_rank=2, lora_alpha=4, grid=(1, 2), things=1, hidden=16)


def tiny_words() -> CausalLm:
    """One token a byte, two random layers."""
    vocabulary = {char: n for n, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    return CausalLm(LlamaForCausalLM(config), tokenizer)


def tiny_model(seed: int = 0, config: ModelConfig = SMALL) -> tuple[PixSearchModel, CausalLm]:
    """An untrained model and its words; the same seed gives the same weights."""
    torch.manual_seed(seed)
    words = tiny_words()
    names = [words.encode(name) for name in CLASSES]
    return PixSearchModel(words.model, names, words.vocabulary, config), words


def tiny_visual(seed: int = 0) -> VisualTokens:
    """Two grid cells with random posteriors."""
    torch.manual_seed(seed)
    return VisualTokens(torch.rand(2, len(CLASSES)).softmax(-1), grid_boxes(1, 2), (GRID, GRID))
