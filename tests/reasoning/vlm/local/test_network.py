"""Reading in parts equals reading at once, in every family; nothing of a reading stays behind."""

from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reasoning.generation.config import VlmConfig
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local.dialogue import Dialogue
from reasoning.vlm.local.network import Network, Reading
from reasoning.vlm.local.open import Opened, open_model
from reasoning.vlm.local.pictures import as_picture
from tests.doubles.vlm_random import FAMILIES, save

CONFIG = VlmConfig(device="cpu", dtype="float32", max_pixels=64 * 64)
CAPTIONS = ["Picture at 1.0 s: ", "Picture at 2.0 s: "]
TURNS = ["What is it?", "A [cat](1,2,3,4).", "And this?"]
CLOSE = 1e-5


@pytest.fixture(scope="module", params=FAMILIES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A model of each family, saved and loaded by the product's own path."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    made = save(request.param, folder)
    found = open_model(HubName.parse(str(folder)), CONFIG)
    told, kept = found.model.state_dict(), made.state_dict()
    assert told.keys() == kept.keys()
    assert all(torch.equal(told[name], value) for name, value in kept.items())
    return found


def picture(seed: int) -> Any:
    noise = np.random.default_rng(seed).integers(0, 255, (48, 80, 3), np.uint8)
    return as_picture(noise, CONFIG.max_pixels)


def seen(dialogue: Dialogue, seed: int = 0) -> dict[str, Tensor]:
    """The head with two pictures."""
    return dialogue.inputs(dialogue.head(CAPTIONS), [picture(seed), picture(seed + 1)])


def at_once(opened: Opened, head: dict[str, Tensor], ids: list[int]) -> Tensor:
    """[V] logits of one pass over everything, with positions as the model itself counts them."""
    more = torch.tensor([ids])
    whole = {**head, "input_ids": torch.cat([head["input_ids"], more], 1)}
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in head:
            whole[name] = torch.cat([head[name], torch.zeros_like(more)], 1)
    with torch.inference_mode():
        logits: Tensor = opened.model(**whole).logits[0, -1]
    return logits


def test_parts_equal_one_pass(opened: Opened) -> None:
    dialogue, network = Dialogue(opened.processor, "Answer.", "tiny"), Network(opened.model)
    head, tail = seen(dialogue), dialogue.tail(CAPTIONS, TURNS)
    evidence = dialogue.plain_ids("<information> a cat is an animal </information> ")
    reading = network.read(head)
    network.feed(reading, tail)
    assert torch.allclose(reading.logits, at_once(opened, head, tail), atol=CLOSE)
    own: list[int] = []
    for _ in range(5):
        own.append(int(reading.logits.argmax()))
        network.feed(reading, own[-1:])
    network.feed(reading, evidence)
    expected = at_once(opened, head, [*tail, *own, *evidence])
    assert torch.allclose(reading.logits, expected, atol=CLOSE)
    assert expected.std() > 0.05  # logits that say something


def test_the_picture_matters(opened: Opened) -> None:
    dialogue, network = Dialogue(opened.processor, "Answer.", "tiny"), Network(opened.model)
    first, second = network.read(seen(dialogue)), network.read(seen(dialogue, 7))
    assert not torch.allclose(first.logits, second.logits, atol=1e-3)


def test_a_fork_leaves_what_it_came_from(opened: Opened) -> None:
    dialogue, network = Dialogue(opened.processor, "Answer.", "tiny"), Network(opened.model)
    kept = network.read(seen(dialogue))
    answers = []
    for _ in range(2):
        reading = kept.fork()
        network.feed(reading, dialogue.tail(CAPTIONS, TURNS))
        network.feed(reading, [70, 71, 72])
        answers.append(reading.logits)
    assert torch.equal(answers[0], answers[1])


def test_two_sessions_at_once_read_as_one_after_the_other(opened: Opened) -> None:
    dialogue, network = Dialogue(opened.processor, "Answer.", "tiny"), Network(opened.model)
    tails = [dialogue.tail(CAPTIONS, [f"{'Long ' * n}?"]) for n in (1, 9)]

    def answer(number: int) -> Reading:
        reading = network.read(seen(dialogue, number))
        for token in tails[number]:
            network.feed(reading, [token])
        return reading

    alone = [answer(number).logits for number in (0, 1)]
    found: dict[int, Reading] = {}
    threads = [Thread(target=lambda n=n: found.update({n: answer(n)})) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in (0, 1):
        assert torch.allclose(found[number].logits, alone[number], atol=CLOSE)
