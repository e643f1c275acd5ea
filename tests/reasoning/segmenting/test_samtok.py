"""SAMTok models: masks go in and come out as words, in this process and on a server."""

from pathlib import Path
from typing import Any

import pytest
import torch

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.config import ChatConfig, DecodeConfig, VlmConfig
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.protocol import SegmentingLMM
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.segmenting.mask_tokenizer import load_mask_tokenizer
from reasoning.segmenting.samtok import CodedMasks, load_samtok
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local import memory
from reasoning.vlm.local.memory import read_headers
from reasoning.vlm.local.open import open_model
from reasoning.vlm.mask_codes import spell
from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.openai_vlm import ChatVlm
from reasoning.vlm.wire.endpoint import Endpoint
from stream.errors import AssetError
from stream.events import Answer, Evidence, Question
from stream.frame import Frame, Mask
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.vlm_random import look_up, mask_codes, save
from tests.reasoning.segmenting.published_samtok import SIDE, SIZE, Published, build
from tests.reasoning.segmenting.tiny_models import picture

CAT = thing((8, 5, 48, 29), "cat", size=SIZE)
SCENE = FakeScene([CAT])
CONFIG = VlmConfig(device="cpu", dtype="float32", max_pixels=64 * 64)
FACT = Evidence("wiki:1", "Cat", "A cat is a small animal.", 0.8, "wiki")


@pytest.fixture(scope="module")
def published() -> Published:
    return build()


@pytest.fixture(scope="module")
def file(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samtok") / "mask_tokenizer_256x2.pth"
    torch.save(published.state_dict(), path)
    return path


def load(folder: Path, file: Path | None) -> Any:
    name = HubName.parse(str(folder))
    return load_samtok(name, SCENE, SceneGrounder(SCENE), CONFIG, file, SIDE)


def ask(lmm: SegmentingLMM[Any], point: tuple[int, int] | None = None) -> Answer:
    decoder = SearchDecoder(ScriptedSearcher({"<region>": [FACT]}), DecodeConfig(max_tokens=64))
    return Assistant(lmm, decoder).ask(Question("What is it?", 0, point), view(), lambda _: None)


def view() -> SceneView:
    return SCENE.read(Frame(0, 0, picture(3), "test"))


def test_the_mask_tokenizer_counts_in_what_must_fit(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("qwen3_vl", tmp_path / "tiny", mask_codes("qwen3_vl"))
    just = read_headers(tmp_path / "tiny").needed(4)
    monkeypatch.setattr(memory, "free_bytes", lambda device: just)
    open_model(HubName.parse(str(tmp_path / "tiny")), CONFIG)
    with pytest.raises(AssetError, match="needs about"):
        load(tmp_path / "tiny", file)


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_a_mask_comes_out_as_words(
    published: Published,
    file: Path,
    family: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named: list[Mask] = []
    names_of = SCENE.names_of

    def noted(view: SceneView, mask: Mask) -> GroundedRegion:
        named.append(mask)
        return names_of(view, mask)

    monkeypatch.setattr(SCENE, "names_of", noted)
    save(family, tmp_path / "tiny", mask_codes(family))
    answer = ask(load(tmp_path / "tiny", file))
    assert answer.text == "I see a cat It is a cat."
    (span,) = answer.spans
    assert answer.text[span.start : span.end] == "a cat"
    with torch.inference_mode():
        expected = published.decode(picture(3), [3, 265])
    assert (named[0] == expected).mean() > 0.995 and 0 < expected.mean() < 1
    (search,) = answer.searches
    assert search.kind == "region" and search.evidence == (FACT,)


def test_a_tapped_region_goes_in_as_words(published: Published, file: Path, tmp_path: Path) -> None:
    save("qwen3_vl", tmp_path / "tiny", mask_codes("qwen3_vl"))
    lmm = load(tmp_path / "tiny", file)
    fed: list[int] = []
    feed = lmm._network.feed

    def noted(reading: Any, ids: Any) -> None:
        fed.extend(ids)
        feed(reading, ids)

    lmm._network.feed = noted
    ask(lmm, (20, 20))
    with torch.inference_mode():
        codes = published.codes(published.embed(picture(3), CAT.mask))
    words = lmm._dialogue._tokenizer.decode(fed)
    assert f"What is it? (I mean this region {spell(codes)}.) Please respond with" in words
    fed.clear()
    ask(lmm)
    assert "(I mean" not in lmm._dialogue._tokenizer.decode(fed)


def test_on_a_server_masks_are_words_as_well(file: Path) -> None:
    codes = CodedMasks(load_mask_tokenizer(file, image_size=SIDE), SceneGrounder(SCENE), SCENE)
    client = ChatClient(Endpoint("http://127.0.0.1:9/v1", "Qwen3-VL-4B-SAMTok"))
    lmm = ChatVlm(client, codes, ChatConfig())
    messages = lmm._conversation(prompt := _prompt((20, 20)))
    words = messages[-1]["content"][-1]["text"]
    assert words.startswith("What is it? (I mean this region <|mt_start|><|mt_")
    region = codes.coded(prompt.view, [3, 265])
    assert region is not None and codes.coded(prompt.view, [999, 3]) is None
    assert codes.pointed(prompt.view, Question("What?", 0, (9999, 1))) == ""


def _prompt(point: tuple[int, int]) -> Any:
    from reasoning.generation.protocol import Prompt

    return Prompt(Question("What is it?", 0, point), view())


def test_what_is_no_samtok_model_is_told(file: Path, tmp_path: Path) -> None:
    save("smolvlm", tmp_path / "tiny", look_up("smolvlm"))
    with pytest.raises(AssetError, match="beside the model"):
        load(tmp_path / "tiny", None)
    with pytest.raises(AssetError, match="named tensors|fetch it again"):
        load(tmp_path / "tiny", tmp_path / "tiny" / "config.json")
    (tmp_path / "tiny" / file.name).write_bytes(file.read_bytes())
    assert load(tmp_path / "tiny", None).name == "tiny"
