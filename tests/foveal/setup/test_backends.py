"""Large models by name: names are checked when settings are read, models loaded when asked for."""

from pathlib import Path
from typing import cast

import pytest

from foveal.config.load import parse_config
from foveal.config.models import ReasoningConfig, check_model
from foveal.setup.backends import load_backend
from perception.scene.reader import SceneReader
from reasoning.vlm.openai_vlm import ChatVlm
from stream.errors import AssetError, ConfigError
from tests.doubles.perception import FakeScene

READER = cast(SceneReader, FakeScene())


@pytest.mark.parametrize(
    "name",
    [
        "rules",
        "pixsearch",
        "openai:http://host:8000/v1#m",
        "sa2va:/x",
        "sa2va:ByteDance/Sa2VA-InternVL3-2B@main",
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


def test_a_checkpoint_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="config.json"):
        load_backend(ReasoningConfig(f"sa2va:{tmp_path}"), READER)
    with pytest.raises(ConfigError, match="a large model"):
        load_backend(ReasoningConfig("rules"), READER)
