"""Chat models behind a real server, `transformers serve`, over real HTTP."""

from pathlib import Path

import numpy as np
import pytest

from perception.scene.reader import SceneView
from reasoning.generation.config import ChatConfig, DecodeConfig
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.openai_vlm import ChatVlm
from reasoning.vlm.wire.endpoint import Endpoint
from stream.events import Answer, Evidence, Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.vlm_random import save

# Not for what they read: a server takes a while to start, as those tests do that read assets.
pytestmark = pytest.mark.assets
SIZE = (96, 128)
SCRIPT = {  # a network with these weights writes so, whatever it sees
    ":": ["I see "],
    "I see ": ["[the cat](100,100,600,600)"],
    "[the cat](100,100,600,600)": ["<search>"],
    "<search>": ["<region>"],
    "<region>": ["</search>"],
    "</search>": [" It is a cat."],
    " It is a cat.": ["<end_of_utterance>"],
}
CAT = thing((16, 24, 64, 72), "cat", 0.9)
SCENE = FakeScene([CAT])
FOUND = Evidence("wiki:Cat", "Cat", "A cat is a small animal.", 0.9, "wiki")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save("smolvlm", folder, SCRIPT)
    return folder


def view() -> SceneView:
    return SCENE.read(Frame(0, 0, np.zeros((*SIZE, 3), np.uint8), "test"))


def ask(url: str, model: str, config: ChatConfig, searches: int = 1) -> Answer:
    client = ChatClient(Endpoint(url, model))
    lmm = ChatVlm(client, SceneGrounder(SCENE), config)
    decoder = SearchDecoder(
        ScriptedSearcher({"<region>": [FOUND]}), DecodeConfig(max_searches=searches, max_tokens=40)
    )
    return Assistant(lmm, decoder).ask(Question("What is it?", 0), view(), lambda _: None)


def test_a_model_that_sees_pictures_names_and_searches(real_server: str, tiny: Path) -> None:
    config = ChatConfig(server="transformers", temperature=0.0, max_tokens=40)
    answer = ask(real_server, str(tiny), config)
    assert answer.text.startswith("I see the cat") and not answer.cut
    assert answer.spans[0].region.box == CAT.box
    assert answer.searches[0].kind == "region" and answer.searches[0].evidence == (FOUND,)
    assert "[1] wiki:Cat (vetted): Cat: A cat is a small animal. </information>" in answer.sequence


def test_a_field_that_this_server_refuses_is_left_out(real_server: str, tiny: Path) -> None:
    client = ChatClient(Endpoint(real_server, str(tiny)))
    asked = [{"role": "user", "content": "What is it?"}]
    deltas = list(client.stream(asked, max_completion_tokens=30, repetition_of_nothing=1))
    assert deltas[-1].finish == "stop" and len(deltas) > 1
    assert client._refused == {"repetition_of_nothing"}


def test_a_published_language_model_answers(real_server: str) -> None:
    from foveal.assets.registry import asset_path
    from stream.errors import AssetError

    try:
        folder = asset_path("smollm2-135m", "hf/config.json").parent
    except AssetError as error:
        pytest.skip(str(error))
    config = ChatConfig(server="transformers", temperature=0.0, max_tokens=24)
    answer = ask(real_server, str(folder), config)
    assert len(answer.text.split()) > 3
    assert not answer.cut or "24 tokens" in answer.cut
