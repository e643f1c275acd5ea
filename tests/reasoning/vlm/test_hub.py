"""Models of a hub: fetched once, pinned, and every fault told with what to do."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reasoning.vlm.hub import complete, model_folder
from reasoning.vlm.hub_name import HubName
from stream.errors import AssetError, ConfigError
from tests.doubles.hub import SHA, SmallHub, use_hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A hub with one model, and a cache that is empty."""
    with SmallHub() as small:
        small.models["owner/tiny"] = {
            "config.json": b"{}",
            "model.safetensors": b"weights",
            "modeling_own.py": b"raise SystemExit",
        }
        use_hub(monkeypatch, small.url, tmp_path / "cache")
        yield small


def test_a_model_is_fetched_once_and_without_code(hub: SmallHub) -> None:
    folder = model_folder(HubName.parse(f"owner/tiny@{SHA}"))
    assert sorted(one.name for one in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert folder.name == SHA
    asked = len(hub.asked)
    assert model_folder(HubName.parse(f"owner/tiny@{SHA}")) == folder
    assert len(hub.asked) == asked  # the second time nothing is asked


def test_what_is_missing_of_a_download_is_fetched(hub: SmallHub) -> None:
    folder = model_folder(HubName.parse("owner/tiny"))
    (folder / "model.safetensors").unlink()
    assert not complete(folder)
    assert complete(model_folder(HubName.parse("owner/tiny")))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("owner/none", "found no owner/none"),
        ("owner/tiny@v9", "found no 'v9'"),
    ],
)
def test_what_the_hub_refuses(hub: SmallHub, name: str, told: str) -> None:
    with pytest.raises(AssetError, match=told):
        model_folder(HubName.parse(name))


@pytest.mark.parametrize("status", [401, 403])  # without a login, without leave
def test_a_gated_model(hub: SmallHub, status: int) -> None:
    hub.gated["owner/tiny"] = status
    told = "gated: accept its terms at https://huggingface.co/owner/tiny"
    with pytest.raises(AssetError, match=told):
        model_folder(HubName.parse("owner/tiny"))


def test_a_token_that_the_hub_does_not_know(hub: SmallHub) -> None:
    hub.bad_token = True
    with pytest.raises(AssetError, match="does not know the token.*hf auth login"):
        model_folder(HubName.parse("owner/tiny"))


def test_no_hub_in_reach(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AssetError, match="`hf download owner/tiny --revision v1`; or name a"):
        model_folder(HubName.parse("owner/tiny@v1"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AssetError, match="not complete on this machine"):
        model_folder(HubName.parse("owner/tiny"))


def test_half_a_download_without_a_hub_is_told(
    hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    folder = model_folder(HubName.parse("owner/tiny"))
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AssetError, match="not complete on this machine"):
        model_folder(HubName.parse("owner/tiny"))


def test_a_folder_needs_no_hub(tmp_path: Path) -> None:
    assert model_folder(HubName.parse(str(tmp_path))) == tmp_path
    with pytest.raises(AssetError, match="found none at"):
        model_folder(HubName.parse(str(tmp_path / "none")))


def test_all_parts_that_are_indexed_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}')
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    assert not complete(tmp_path)
    shutil.copy(tmp_path / "model-1.safetensors", tmp_path / "model-2.safetensors")
    assert complete(tmp_path)
    index.write_text("junk")
    assert not complete(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "name", "a/b/c", "a/b@", "a/b@x y", "a b/c", "@v1", "a/b@../x y"]
)
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        HubName.parse(text)


def test_names_are_read() -> None:
    assert HubName.parse("Qwen/Qwen3-VL-2B-Instruct@abc") == HubName(
        "Qwen/Qwen3-VL-2B-Instruct", "abc"
    )
    assert str(HubName.parse("a/b")) == "a/b@main"
    assert HubName.parse("~/x").folder == Path.home() / "x"
