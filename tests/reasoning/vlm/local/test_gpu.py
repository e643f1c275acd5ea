"""Every family on a GPU: the same words as on the processor, and how near half precision comes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from perception.scene.reader import SceneView
from reasoning.generation.config import VlmConfig
from reasoning.generation.protocol import Prompt
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local.model import VlmLMM
from reasoning.vlm.local.open import open_model
from stream.events import Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene
from tests.doubles.vlm_random import FAMILIES, save

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
PIXELS = 64 * 64


def view() -> SceneView:
    image = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
    return FakeScene().read(Frame(0, 0, image, "test"))


def logits(folder: Path, config: VlmConfig) -> torch.Tensor:
    """[V] float32 on the processor after a picture, a question and eight own words."""
    opened = open_model(HubName.parse(str(folder)), config)
    lmm = VlmLMM(opened, SceneGrounder(FakeScene()), config)
    state = lmm.prefill(Prompt(Question("What is it?", 0), view()))
    lmm._network.feed(state.reading, list(range(70, 78)))
    return state.reading.logits.cpu()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_on_a_gpu(family: str, tmp_path: Path) -> None:
    save(family, tmp_path)
    exact = logits(tmp_path, VlmConfig(device="cpu", dtype="float32", max_pixels=PIXELS))
    cuda = logits(tmp_path, VlmConfig(device="cuda", dtype="float32", max_pixels=PIXELS))
    assert torch.allclose(cuda, exact, atol=1e-3)
    half = logits(tmp_path, VlmConfig(device="cuda", dtype="bfloat16", max_pixels=PIXELS))
    assert torch.nn.functional.cosine_similarity(half, exact, dim=0) > 0.99
    spread = logits(tmp_path, VlmConfig(dtype="float32", device_map="auto", max_pixels=PIXELS))
    assert torch.allclose(spread, exact, atol=1e-3)


@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_fewer_bits(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    save("qwen3_vl", tmp_path)
    exact = logits(tmp_path, VlmConfig(device="cpu", dtype="float32", max_pixels=PIXELS))
    quantise = VlmConfig(device="cuda", quantise=kind, max_pixels=PIXELS)  # type: ignore[arg-type]
    found = logits(tmp_path, quantise)
    assert torch.nn.functional.cosine_similarity(found, exact, dim=0) > 0.9
