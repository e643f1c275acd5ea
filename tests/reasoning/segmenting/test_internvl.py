"""InternVL under its authors' names: same numbers as its own arithmetic, regions as tokens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reasoning.segmenting.checkpoint import Weights
from reasoning.segmenting.internvl import load_internvl
from reasoning.segmenting.internvl_language import CONTEXT, InternVlLanguage, load_tokenizer
from stream.errors import AssetError
from stream.frame import Mask
from tests.reasoning.segmenting.published_internvl import Sizes, draw, internlm_logits, see
from tests.reasoning.segmenting.tiny_internvl import save_tokenizer, settings
from tests.reasoning.segmenting.tiny_models import picture

ASKED = [{"role": "user", "content": "What is it?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer's files."""
    return tmp_path_factory.mktemp("tokenizer")


@pytest.fixture(scope="module")
def sizes(folder: Path) -> Sizes:
    return Sizes(vocabulary=save_tokenizer(folder))


def loaded(sizes: Sizes, internlm: bool) -> tuple[Any, Weights]:
    stored = draw(sizes, internlm)
    return load_internvl(settings(sizes, internlm), stored, torch.float32), stored


@pytest.fixture(scope="module")
def language(folder: Path, sizes: Sizes) -> InternVlLanguage:
    return InternVlLanguage(loaded(sizes, internlm=False)[0], load_tokenizer(folder))


@pytest.mark.parametrize("internlm", [False, True])
def test_pictures_are_seen_as_the_published_code_sees_them(sizes: Sizes, internlm: bool) -> None:
    model, stored = loaded(sizes, internlm)
    tiles = torch.randn(3, 3, sizes.side, sizes.side, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        ours = model.get_image_features(tiles).pooler_output
    assert torch.allclose(ours, see(stored, sizes, tiles), atol=1e-4)


def test_internlm2_is_a_llama_with_its_groups_taken_apart(sizes: Sizes) -> None:
    model, stored = loaded(sizes, internlm=True)
    ids = torch.tensor([5, 9, 200, 31, 7, 7, 120])
    with torch.inference_mode():
        ours = model(input_ids=ids[None]).logits[0]
    assert torch.allclose(ours, internlm_logits(stored, sizes, ids), atol=1e-4)
    assert model.config.text_config.rope_parameters["rope_type"] == "dynamic"


def test_qwen2_keeps_its_names(sizes: Sizes) -> None:
    model, stored = loaded(sizes, internlm=False)
    held = model.state_dict()
    for name in ("self_attn.q_proj.bias", "mlp.down_proj.weight"):
        key = f"model.layers.1.{name}"
        ours = held[f"model.language_model.layers.1.{name}"]
        assert torch.equal(ours, stored[f"language_model.{key}"])
    assert torch.equal(held["lm_head.weight"], stored["language_model.lm_head.weight"])


class Reading:
    """What a language model was given."""

    def __init__(self, language: InternVlLanguage, patch: pytest.MonkeyPatch) -> None:
        self.embedded: Tensor = torch.zeros(0)
        inner = language._model.forward

        def forward(**given: Any) -> Any:
            self.embedded = given["inputs_embeds"]
            return inner(**given)

        patch.setattr(language._model, "forward", forward)


def masked(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((48, 64), bool)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "cells"),
    [
        (masked(slice(0, 24), slice(0, 32)), [0, 1, 4, 5]),
        (masked(slice(47, 48), slice(63, 64)), [15]),
        (masked(slice(0, 0), slice(0, 0)), []),
    ],
)
def test_a_region_comes_as_the_tokens_that_lie_on_it(
    language: InternVlLanguage, monkeypatch: pytest.MonkeyPatch, mask: Mask, cells: list[int]
) -> None:
    reading = Reading(language, monkeypatch)
    language.begin(picture(), ASKED)
    plain = reading.embedded[0]
    seen = language._see(picture())
    language.begin(picture(), ASKED, mask)
    told = reading.embedded[0]
    begun = language.tokenizer("<|im_start|>user\n<img>").input_ids
    first, tokens = len(begun), seen.shape[0] * seen.shape[1]
    assert torch.allclose(told[first : first + tokens], seen.flatten(0, 1), atol=1e-5)
    if not cells:
        assert torch.allclose(told, plain)
        return
    words = "</img>\nThere are 1 part regions in the picture: region1<vp>"
    start = first + tokens + len(language.tokenizer(words).input_ids)
    assert torch.allclose(told[start : start + len(cells)], seen[-1][cells], atol=1e-5)
    end = language.tokenizer("</vp>").input_ids
    table = language._model.get_input_embeddings().weight
    assert torch.allclose(told[start + len(cells)], table[end[0]])


def test_wide_pictures_have_tiles_and_the_whole_last(language: InternVlLanguage) -> None:
    assert len(language._see(picture(size=(32, 32)))) == 1
    wide = language._see(picture(size=(32, 96)))
    assert len(wide) == 4
    whole = np.asarray(picture(size=(32, 96)))
    assert not torch.allclose(wide[0], wide[-1], atol=1e-3) and whole.shape == (32, 96, 3)


def test_reading_in_steps_equals_reading_at_once(language: InternVlLanguage) -> None:
    ids = [70, 71, 72, 73]
    whole = language.begin(picture(), ASKED)
    at_once = language.feed(whole, ids)
    steps = language.begin(picture(), ASKED)
    one_by_one = torch.cat([language.feed(steps, [token]) for token in ids])
    assert torch.allclose(at_once, one_by_one, atol=1e-4)
    assert torch.allclose(whole.logits, steps.logits, atol=1e-4)


@pytest.mark.parametrize("name", ["Phi3ForCausalLM", "OtherForCausalLM"])
def test_another_language_side_is_refused_by_name(sizes: Sizes, name: str) -> None:
    told = settings(sizes, internlm=False)
    told["llm_config"]["architectures"] = [name]
    with pytest.raises(AssetError, match=name):
        load_internvl(told, draw(sizes, internlm=False), torch.float32)
    with pytest.raises(AssetError, match="ps_version v2"):
        load_internvl(settings(sizes, False) | {"ps_version": "v1"}, {}, torch.float32)


def test_keys_that_do_not_fit_are_named(sizes: Sizes) -> None:
    stored = draw(sizes, internlm=False)
    stored["mlp1.9.weight"] = stored.pop("mlp1.3.weight")
    with pytest.raises(AssetError, match=r"linear_2\.weight.*mlp1\.9\.weight"):
        load_internvl(settings(sizes, internlm=False), stored, torch.float32)


def test_a_tokenizer_that_is_code_is_read_from_its_file(folder: Path, tmp_path: Path) -> None:
    """InternLM2's settings as published, and a tokenizer.json that was put beside them."""
    known = load_tokenizer(folder)
    known.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    told = json.loads(path.read_text())
    late = [token for token in told["added_tokens"] if token["content"] in ("<vp>", "</vp>")]
    told["added_tokens"] = [token for token in told["added_tokens"] if token not in late]
    path.write_text(json.dumps(told))
    code = {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]}
    own = {"tokenizer_class": "InternLM2Tokenizer", "auto_map": code}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(own))
    (tmp_path / "tokenization_internlm2.py").write_text("raise SystemExit")
    added = {token["content"]: token["id"] for token in late}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    words = "<|im_start|>user\n<img> it is [SEG]<vp></vp>"
    assert load_tokenizer(tmp_path)(words).input_ids == known(words).input_ids
    (tmp_path / "added_tokens.json").write_text(json.dumps(added | {"[SEG]": 7}))
    with pytest.raises(AssetError, match=r"1 have others \(\[SEG\]\)"):
        load_tokenizer(tmp_path)
    path.unlink()
    with pytest.raises(AssetError, match="InternLM2's own is code"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_is_code_is_refused(tmp_path: Path, sizes: Sizes) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "InternLM2Tokenizer"}')
    with pytest.raises(AssetError, match="InternLM2's own is code"):
        load_tokenizer(tmp_path)
    with pytest.raises(AssetError, match=CONTEXT):
        from tests.reasoning.segmenting.tiny_models import byte_tokenizer

        InternVlLanguage(loaded(sizes, internlm=False)[0], byte_tokenizer())
