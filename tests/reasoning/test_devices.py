"""What reasons, off the CPU: the same scores, states, choices and answers as on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.device import Device
from perception.features.backbone import Features
from perception.masks.cutter import EdgeCutter
from perception.scene.grounded_region import SceneView
from reasoning.generation.config import DecodeConfig, LogitsProcessorConfig
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.protocol import Prompt
from reasoning.generation.tokens import CONTROLS, END
from reasoning.pixsearch.candidates import RegionCandidate, features_of
from reasoning.pixsearch.entity_masks import EntityGrounder
from reasoning.pixsearch.generate import PixSearchLMM
from reasoning.pixsearch.modeling import PixSearchModel
from reasoning.pixsearch.region_grounding import PhraseGrounder
from reasoning.pixsearch.region_selector import RegionSelector
from reasoning.pixsearch.visual_input import VisualInput
from reasoning.vlm.causal_lm import CausalLm
from stream.events import Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing
from tests.doubles.pixsearch import CLASSES, SMALL, tiny_words
from tests.doubles.reasoning import ScriptedSearcher

BOX = (8, 8, 24, 24)


def words(device: str) -> CausalLm:
    torch.manual_seed(0)
    tiny = tiny_words()
    return CausalLm(tiny.model, tiny.tokenizer, device)


def test_likelihoods_and_states(other_device: Device) -> None:
    here, there = words("cpu"), words(other_device.name)
    asked = ["a cup", "where is the red one", "b"]
    assert there.likelihood(asked, " yes") == pytest.approx(
        here.likelihood(asked, " yes"), abs=1e-3
    )
    state = there.hidden(asked, 1)
    assert state.device.type == "cpu" and torch.allclose(state, here.hidden(asked, 1), atol=1e-2)


def selector(device: str) -> RegionSelector:
    torch.manual_seed(0)
    made = RegionSelector(torch.randn(len(CLASSES), 32), 8)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.to(device).eval()


def test_the_region_selector(other_device: Device) -> None:
    rows = list(np.eye(len(CLASSES), dtype=np.float32))
    places = [RegionCandidate((4 * n, 4, 4 * n + 20, 30)) for n in range(len(rows))]
    things = features_of(rows, places, [0.9, 0.5, 0.2], (0, 1, 2), (64, 64), len(CLASSES))
    phrase, covered, sure = torch.randn(1, 32), torch.rand(3), []
    for device in ("cpu", other_device.name):
        made = selector(device)
        fits = made.fits(phrase.to(device))[0]
        moved = things.to(torch.device(device))
        sure.append(made(fits, moved, covered.to(device)).detach().cpu())
    assert torch.allclose(sure[0], sure[1], atol=1e-3)


class Square:
    """Cuts the box itself; sees nothing more."""

    def detect(self, image: object) -> tuple[()]:
        return ()

    def notice(self, view: object, match: object) -> None:
        return None


def view(device: str) -> SceneView:
    torch.manual_seed(1)
    features = Features(torch.rand(8, 8, 8).to(device), torch.rand(12, 2, 2).to(device), (64, 64))
    posterior = np.array([0.1, 0.8, 0.1], np.float32)
    cup = replace(thing(BOX, "red cup", 0.9, (64, 64)), posterior=posterior)
    frame = Frame(0, 0, np.full((64, 64, 3), 90, np.uint8), "test")
    return SceneView(frame, features, (cup,), cup.names, posterior)


def answer(device: str) -> tuple[str, list[tuple[int, int]]]:
    """What an untrained model says, and where its entities lie."""
    lm = words(device)
    torch.manual_seed(2)
    names = [lm.encode(name) for name in CLASSES]
    model = PixSearchModel(words("cpu").model, names, lm.vocabulary, SMALL)
    with torch.no_grad():
        model.control_out.bias[CONTROLS.index(END)] -= 9
        list(model.tagger.parameters())[-1].copy_(torch.tensor([0.0, 0.3, 0.2]))
    model = model.to(device).eval()
    grounder = PhraseGrounder(
        selector(device), lambda text: torch.zeros(32), Square(), EdgeCutter()
    )
    made = PixSearchLMM(
        model,
        lm,
        EntityGrounder(grounder, FakeScene([thing(BOX, "red cup", 0.9, (64, 64))])),
        VisualInput(lambda pooled: torch.full((len(pooled), 3), 1 / 3), (1, 2), 1),
        LogitsProcessorConfig(reserved=0, search_gate=0.02),
    )
    decoder = SearchDecoder(ScriptedSearcher({}), DecodeConfig(max_tokens=24))
    found = decoder.decode(
        made, Prompt(Question("What is this?", 0, (12, 12)), view(device)), lambda *_: None
    )
    return found.sequence, [(span.start, span.end) for span in found.spans]


def test_the_segmenting_model_writes_and_points_the_same(other_device: Device) -> None:
    here, there = answer("cpu"), answer(other_device.name)
    assert here == there and here[1]
