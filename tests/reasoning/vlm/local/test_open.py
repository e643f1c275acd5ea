"""Models that cannot be opened: told before anything is loaded, with what to do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reasoning.generation.config import VlmConfig
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local import memory
from reasoning.vlm.local.memory import check_memory, free_bytes, read_headers
from reasoning.vlm.local.model import VlmLMM
from reasoning.vlm.local.open import open_model
from stream.errors import AssetError, FovealError
from tests.doubles.perception import FakeScene
from tests.doubles.vlm_random import save

CONFIG = VlmConfig(device="cpu", dtype="float32", max_pixels=64 * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that can be opened, to be broken."""
    save("qwen3_vl", tmp_path / "tiny")
    return tmp_path / "tiny"


def rewrite(path: Path, **values: Any) -> None:
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, **values}), encoding="utf-8")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def text_only(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=300, **sizes, **heads)).save_pretrained(folder)


def own_code(folder: Path) -> None:
    (folder / "own.py").write_text("raise SystemExit('foreign code was run')")
    auto = {"AutoConfig": "own.Config", "AutoModelForImageTextToText": "own.Model"}
    rewrite(folder / "config.json", model_type="own", auto_map=auto)


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    no_weights(folder)
    torch.save({}, folder / "pytorch_model.bin")


def junk(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)


def no_eyes(folder: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)


def parameters_missing(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kept = {k: v for k, v in load_file(path).items() if "layers.1.mlp" not in k}
    save_file(kept, path, metadata={"format": "pt"})


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "half a file": (cut, "half a download"),
    "no weights": (no_weights, "half a download"),
    "pickled weights": (pickled, "half a download"),
    "junk": (junk, "expected a safetensors file"),
    "a model of words": (text_only, "got a llama of LlamaForCausalLM"),
    "code of its own": (own_code, "bring their own code are not run"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "transformers knows"),
    "no image processor": (no_eyes, "expected a processor"),
    "parameters missing": (parameters_missing, "are missing, such as model.language_model"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_opened(folder: Path, fault: str) -> None:
    damage, told = FAULTS[fault]
    damage(folder)
    with pytest.raises(AssetError, match=told):
        open_model(HubName.parse(str(folder)), CONFIG)


TEMPLATES = {
    "words only": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
    "pictures left out": (
        "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'text' %}"
        "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    ),
    "refuses lists": "{{ raise_exception('text only') }}",
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_without_pictures_is_told(folder: Path, kind: str) -> None:
    (folder / "chat_template.jinja").write_text(TEMPLATES[kind])
    opened = open_model(HubName.parse(str(folder)), CONFIG)
    with pytest.raises(AssetError, match="chat template that takes pictures"):
        VlmLMM(opened, SceneGrounder(FakeScene()), CONFIG)


def test_no_template_at_all_is_told(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    opened = open_model(HubName.parse(str(folder)), CONFIG)
    with pytest.raises(AssetError, match="chat template that takes pictures"):
        VlmLMM(opened, SceneGrounder(FakeScene()), CONFIG)


def test_too_little_memory_is_told_before_loading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100 << 20)
    monkeypatch.setattr("reasoning.vlm.local.open._model", lambda *_: pytest.fail("loaded"))
    with pytest.raises(AssetError, match=r"needs about 0\.3 GB on cpu, and 0\.1 GB are free; take"):
        open_model(HubName.parse(str(folder)), CONFIG)


def test_what_a_model_needs_is_read_off_its_headers(folder: Path) -> None:
    weights = read_headers(folder)
    from safetensors.torch import load_file

    numbers = sum(one.numel() for one in load_file(folder / "model.safetensors").values())
    assert weights.numbers == numbers and weights.other_bytes == 0
    assert weights.needed(4) - weights.needed(2) == pytest.approx(2 * numbers * memory.WORK, abs=2)
    free = free_bytes(torch.device("cpu"))
    assert free is None or free > 0
    check_memory(folder, 4, torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(FovealError, match="cuda"):
        open_model(HubName.parse(str(folder)), VlmConfig(device="cuda"))


def test_half_precision_answers_nearly_as_full(folder: Path) -> None:
    """How exact bfloat16 is: random weights, so only that it is the same function."""
    logits = []
    for config in (CONFIG, replace(CONFIG, dtype="bfloat16")):
        opened = open_model(HubName.parse(str(folder)), config)
        assert opened.model.dtype == getattr(torch, config.dtype)
        lmm = VlmLMM(opened, SceneGrounder(FakeScene()), config)
        logits.append(lmm._read((view(),)).logits)
    assert torch.nn.functional.cosine_similarity(logits[0], logits[1], dim=0) > 0.99


def view() -> Any:
    import numpy as np

    from stream.frame import Frame

    image = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
    return FakeScene().read(Frame(0, 0, image, "test"))


def test_quantising_without_its_package_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r"foveal\[quantised\]"):
        open_model(HubName.parse(str(folder)), VlmConfig(device="cpu", quantise="4bit"))
