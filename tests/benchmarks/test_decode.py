"""The decoding benchmark: both ways write the same tokens, on a small random model."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.decode import Episode, cached, reencoded
from reasoning.vlm.causal_lm import CausalLm

VOCABULARY = 97


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=5,
        bos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


def test_kept_cache_and_reencoding_agree(model: Any) -> None:
    episode = Episode([1, 9, 4, 33], [[7, 8, 60, 2], [11, 3]])
    ours = cached(CausalLm(model, None), episode, 6)
    model.generation_config.eos_token_id = ours.tokens[2]  # neither way ends at an end token
    theirs = reencoded(model, episode, 6)
    assert ours.tokens == theirs.tokens and len(ours.tokens) == 3 * 6
    assert len(set(ours.tokens)) > 1  # a model that repeats one token would prove nothing
    for measured in (ours, theirs):
        assert len(measured.first_ns) == 3 and min(measured.first_ns) > 0
        assert measured.total_ns >= sum(measured.first_ns)
