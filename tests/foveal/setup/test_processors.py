"""One device setting, as each library calls it; and a whole answer off the CPU."""

import logging
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from skimage import data

from foveal.config.load import parse_config
from foveal.config.schema import placed
from foveal.setup import processors
from foveal.setup.processors import device_of, onnx_providers, whisper_device
from perception.device import CPU, Device
from stream.events import Question
from stream.frame import Frame

CUDA, MPS = Device("cuda", torch.bfloat16), Device("mps", torch.float32)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.mark.parametrize(
    ("device", "offered", "taken"),
    [
        (CPU, ["CUDAExecutionProvider"], "CPUExecutionProvider"),
        (CUDA, ["CUDAExecutionProvider", "CPUExecutionProvider"], "CUDAExecutionProvider"),
        (MPS, ["CoreMLExecutionProvider"], "CoreMLExecutionProvider"),
    ],
)
def test_onnx_takes_what_is_offered_and_then_the_cpu(
    device: Device, offered: list[str], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    providers = onnx_providers(device)
    assert providers[0] == taken and providers[-1] == "CPUExecutionProvider"


def test_what_stays_on_the_cpu_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    processors._hint.cache_clear()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert onnx_providers(CUDA) == ("CPUExecutionProvider",)
            assert whisper_device(CUDA) == "cpu"
        assert whisper_device(MPS) == whisper_device(CPU) == "cpu"
    assert len(caplog.messages) == 2 and "onnxruntime-gpu" in caplog.messages[0]
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    assert whisper_device(CUDA) == "cuda"


def test_parts_without_a_device_of_their_own_take_the_one_of_all() -> None:
    config = placed(parse_config({"models": {"device": "cpu"}, "masklets": {"device": "cuda"}}))
    assert config.masklets.device == "cuda"
    assert config.phrases.device == config.reasoning.vlm.device == "cpu"
    assert device_of(config).name == "cpu"
    assert placed(parse_config({})).masklets.device == "auto"


@pytest.mark.parametrize(
    ("common", "own", "dtype"),
    [
        ("float32", "auto", "float32"),
        ("float32", "bfloat16", "bfloat16"),
        ("auto", "auto", "auto"),
        ("auto", "float16", "float16"),
    ],
)
def test_a_model_without_a_type_of_its_own_takes_the_precision_of_all(
    common: str, own: str, dtype: str
) -> None:
    given = {"models": {"precision": common}, "reasoning": {"vlm": {"dtype": own}}}
    assert placed(parse_config(given)).reasoning.vlm.dtype == dtype


def cup() -> Frame:
    return Frame(0, 0, np.ascontiguousarray(data.coffee()[:240, :320]), "cup")


@pytest.mark.assets
def test_a_whole_answer_is_the_same_on_another_device(models: Any, other_device: Device) -> None:
    """Scene, phrase, search and words: every shipped network, on its own weights."""
    from foveal.setup.assistant import build_assistant, load_models

    asked = Question("What is in the cup?", 0)
    said = []
    for device in (Device("cpu", torch.float32), other_device):
        there = load_models(device=device)
        view = there.reader.read(cup())
        answer = build_assistant(there).ask(asked, view, lambda _: None)
        said.append((answer.text, [thing.names[0].label for thing in view.things]))
    assert said[0] == said[1] and said[0][0]


@pytest.mark.gpu
@pytest.mark.assets
@needs_cuda
def test_onnx_and_whisper_on_cuda_give_what_the_cpu_gives(models: Any) -> None:
    from foveal.setup.hearing import load_hearing
    from foveal.setup.retrieval.search import load_encoder
    from perception.detect.ocr import RapidTextReader

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        here, there = (load_encoder(providers=onnx_providers(one)) for one in (CPU, CUDA))
        words = ["a cup of coffee", "the Eiffel Tower"]
        assert np.allclose(here.encode_text(words), there.encode_text(words), atol=1e-2)
        page = np.asarray(data.page(), np.uint8)
        picture = np.ascontiguousarray(np.repeat(page[..., None], 3, axis=2))
        read = [RapidTextReader(onnx_providers(one)).read(picture) for one in (CPU, CUDA)]
        assert [line.text for line in read[0]] == [line.text for line in read[1]]
    sound = np.zeros(16_000, np.float32)
    texts = [
        load_hearing(device=whisper_device(one)).transcriber.transcribe(sound).text
        for one in (CPU, CUDA)
    ]
    assert texts[0] == texts[1]
