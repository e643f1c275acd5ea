"""The decoding benchmark: all ways write the same tokens, on a small random model."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.decode import Episode, cached, generated
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


def test_own_loop_and_generate_with_and_without_its_cache_agree(model: Any) -> None:
    episode = Episode([1, 9, 4, 33], [[7, 8, 60, 2], [11, 3]])
    ours = cached(CausalLm(model, None), episode, 6)
    model.generation_config.eos_token_id = ours.tokens[2]  # neither way ends at an end token
    read: list[int] = []
    handle = model.model.embed_tokens.register_forward_hook(
        lambda _module, inputs, _out: read.append(inputs[0].shape[1])
    )
    theirs = generated(model, episode, 6, keep=True)
    # Every token but the last is read once: nothing is encoded again.
    assert sum(read) == sum(map(len, (episode.prompt, *episode.injected))) + 3 * 6 - 1
    handle.remove()
    again = generated(model, episode, 6, keep=False)
    assert ours.tokens == theirs.tokens == again.tokens and len(ours.tokens) == 3 * 6
    assert len(set(ours.tokens)) > 1  # a model that repeats one token would prove nothing
    for measured in (ours, theirs, again):
        assert len(measured.first_ns) == 3 and min(measured.first_ns) > 0
        assert measured.total_ns >= sum(measured.first_ns)
