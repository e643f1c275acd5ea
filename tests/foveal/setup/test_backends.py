"""Large models by name: names are checked when settings are read, models loaded when asked for."""

from pathlib import Path
from typing import cast

import pytest

from foveal.config.load import parse_config
from foveal.config.models import ReasoningConfig, check_model
from foveal.setup.backends import load_backend
from perception.sam2.networks import Sam2Networks
from perception.sam2_tracking.tracker import Sam2Tracker
from perception.scene.reader import SceneReader
from reasoning.segmenting.box_to_mask import Sam2Grounder, SceneGrounder
from reasoning.vlm.openai_vlm import ChatVlm, WarmChatVlm
from reasoning.vlm.sglang.session_vlm import SessionVlm
from stream.errors import AssetError, ConfigError
from tests.doubles.perception import FakeScene
from tests.doubles.sam2_random import random_model, tiny_config

READER = cast(SceneReader, FakeScene())


@pytest.mark.parametrize(
    "name",
    [
        "rules",
        "pixsearch",
        "openai:http://host:8000/v1#m",
        "sa2va:/x",
        "sa2va:ByteDance/Sa2VA-InternVL3-2B@main",
        "samtok:zhouyik/Qwen3-VL-4B-SAMTok",
        "hf:a/b",
        "hf:a/b@v1.0",
        "hf:~/x",
    ],
)
def test_names_that_are_known(name: str) -> None:
    check_model(name)
    assert parse_config({"reasoning": {"model": name}}).reasoning.model == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt",
        "openai:",
        "openai:http://host/v1",
        "other:x",
        "lisa:/x#/y",
        "hf:",
        "hf:model",
        "hf:a/b@",
        "hf:a/b c",
    ],
)
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        parse_config({"reasoning": {"model": name}})


def test_a_chat_model_is_made_without_asking_its_server() -> None:
    made = load_backend(ReasoningConfig("openai:http://127.0.0.1:9/v1#m"), READER)
    assert isinstance(made, ChatVlm) and made.name == "m"


def test_how_a_server_is_spoken_to_comes_from_a_file() -> None:
    config = parse_config(
        {
            "reasoning": {
                "model": "openai:http://127.0.0.1:9/v1#m",
                "chat": {
                    "server": "vllm",
                    "grounding": "qwen3_vl",
                    "warm_up": True,
                    "temperature": 0.2,
                    "stop": ["END"],
                    "timeout_s": 5,
                    "headers": {"X-Team": "one"},
                    "extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
                },
            }
        }
    ).reasoning
    made = load_backend(config, READER)
    assert isinstance(made, WarmChatVlm) and load_backend(config, READER) is made
    endpoint = made._client.endpoint
    assert endpoint.timeout_s == 5 and endpoint.headers == {"X-Team": "one"}
    assert endpoint.extra_body == {"chat_template_kwargs": {"enable_thinking": False}}


def test_a_video_session_is_a_choice() -> None:
    chat = {"video_session": "sglang"}
    model = "openai:http://127.0.0.1:9/v1#Qwen3-VL"
    config = parse_config({"reasoning": {"model": model, "chat": chat}})
    assert isinstance(load_backend(config.reasoning, READER), SessionVlm)
    other = parse_config({"reasoning": {"model": model, "chat": chat | {"server": "vllm"}}})
    with pytest.raises(ConfigError, match=r"expected chat\.server sglang"):
        load_backend(other.reasoning, READER)


@pytest.mark.parametrize(
    "chat", [{"server": "olama"}, {"grounding": "qwen"}, {"jpeg_quality": 0}, {"headers": ["a"]}]
)
def test_what_no_server_takes_is_refused_when_it_is_read(chat: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        parse_config({"reasoning": {"model": "openai:http://h/v1#m", "chat": chat}})


def test_places_become_masks_by_sam2_where_it_tracks() -> None:
    tracker = Sam2Tracker(Sam2Networks(random_model(tiny_config())))
    config = ReasoningConfig("openai:http://127.0.0.1:9/v1#sam")
    made = load_backend(config, READER, tracker)
    assert isinstance(made, ChatVlm) and isinstance(made.grounder, Sam2Grounder)
    made = load_backend(config, READER, object())
    assert isinstance(made, ChatVlm) and type(made.grounder) is SceneGrounder


def test_a_checkpoint_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="config.json"):
        load_backend(ReasoningConfig(f"sa2va:{tmp_path}"), READER)
    with pytest.raises(ConfigError, match="a large model"):
        load_backend(ReasoningConfig("rules"), READER)
