"""Sentence-transformers folders: every pooling against its formula, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.encoders.sentence import POOLINGS, open_sentence
from stream.errors import AssetError, QueryError
from tests.doubles.vlm_random import byte_tokenizer

TEXTS = ["a cup", "the sea is wide and deep and blue and cold"]


def save_sentence(folder: Path, mode: str, length: int = 16, seed: int = 0) -> None:
    """A tiny BERT with its modules, as the package writes them."""
    from transformers import BertConfig, BertModel

    tokenizer = byte_tokenizer("<end>", {})
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    config = BertConfig(
        vocab_size=len(tokenizer), num_attention_heads=2, max_position_embeddings=64, **sizes
    )
    BertModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    pooling = {"word_embedding_dimension": 16, **{each: each == mode for each in POOLINGS}}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    settings = json.dumps({"max_seq_length": length, "do_lower_case": False})
    (folder / "sentence_bert_config.json").write_text(settings, encoding="utf-8")


@pytest.mark.parametrize("mode", POOLINGS)
def test_a_batch_is_what_each_text_is_alone(mode: str, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    save_sentence(tmp_path, mode)
    encoder = open_sentence(tmp_path, "tiny")
    both = encoder.encode_text(TEXTS)
    assert both.shape == (2, 16) and both.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-5)
    model, tokenizer = AutoModel.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for vector, text in zip(both, TEXTS, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"][:16]])
        hidden = model.eval()(ids).last_hidden_state[0]
        pooled = {
            "pooling_mode_mean_tokens": hidden.mean(dim=0),
            "pooling_mode_cls_token": hidden[0],
            "pooling_mode_lasttoken": hidden[-1],
            "pooling_mode_max_tokens": hidden.amax(dim=0),
        }[mode]
        wanted = torch.nn.functional.normalize(pooled, dim=0).detach().numpy()
        np.testing.assert_allclose(vector, wanted, atol=1e-5)


def test_ids_tell_weights_and_length(tmp_path: Path) -> None:
    ids = set()
    for seed, length in ((0, 16), (1, 16), (0, 8)):
        save_sentence(tmp_path, "pooling_mode_mean_tokens", length, seed)
        ids.add(open_sentence(tmp_path, "tiny").id)
    assert len(ids) == 3
    encoder = open_sentence(tmp_path, "tiny")
    assert encoder.encode_text([]).shape == (0, 16)
    with pytest.raises(QueryError, match="sequence of strings"):
        encoder.encode_text("one text")


def test_other_modules_and_damage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"modules\.json"):
        open_sentence(tmp_path, "tiny")
    save_sentence(tmp_path, "pooling_mode_weightedmean_tokens")
    with pytest.raises(AssetError, match="poolings"):
        open_sentence(tmp_path, "tiny")
    save_sentence(tmp_path, "pooling_mode_mean_tokens")
    modules = json.loads((tmp_path / "modules.json").read_text(encoding="utf-8"))
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (tmp_path / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(AssetError, match="Dense; taken are Transformer, Pooling, Normalize"):
        open_sentence(tmp_path, "tiny")
    save_sentence(tmp_path, "pooling_mode_mean_tokens")
    (tmp_path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(AssetError, match="cannot be loaded"):
        open_sentence(tmp_path, "tiny")
