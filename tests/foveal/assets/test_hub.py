"""Published models: what settings need, and how it comes from a hub that speaks the real wire."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from foveal.assets.hub import REGISTRY, HubModel, _check_space, at_commit, needed, tell_unpinned
from foveal.assets.registry import ASSETS, cache_root
from foveal.cli import main
from foveal.config.load import load_config, parse_config
from foveal.config.models import MaskletSettings
from foveal.config.schema import PROFILES
from foveal.setup.trackers import open_sam2
from perception.sam2_tracking.tracker import Sam2Tracker
from reasoning.vlm.hub_name import HubName
from stream.errors import AssetError, ConfigError
from tests.doubles.hub import SHA, SmallHub, use_hub
from tests.doubles.sam2_random import random_model, tiny_edgetam_config

NAME = "own/tiny-edgetam"


def test_every_profile_names_models_at_a_commit_with_a_licence() -> None:
    for profile in PROFILES:
        for model in needed(load_config(profile)):
            assert model == REGISTRY[model.id] and not model.unpinned
            assert len(model.revision) == 40 and int(model.revision, 16)
            assert model.licence and model.megabytes
    assert needed(load_config("embedded")) == () == needed(load_config("replay"))
    assert [len(needed(load_config(name))) for name in ("laptop", "edge", "server")] == [3, 3, 3]


def test_no_registered_file_may_hold_code_or_pickles() -> None:
    for model in REGISTRY.values():
        for pattern in model.files:
            assert pattern == "model.bin" or Path(pattern).suffix in (
                ".safetensors", ".json", ".txt", ".model", ".jinja",
            )  # fmt: skip
        assert ("model.bin" in model.files) == model.id.startswith("Systran/faster-whisper")


def test_a_commit_in_the_settings_goes_before_the_registrys(tmp_path: Path) -> None:
    config = parse_config({
        "masklets": {"tracker": f"edgetam:yonigozlan/EdgeTAM-hf@{SHA}"},
        "reasoning": {"model": "hf:someone/model"},
        "hearing": {"model": f"hf:{tmp_path}"},
    })  # fmt: skip
    tracker, model = needed(config)
    assert (tracker.revision, tracker.unpinned) == (SHA, False)
    assert (model.revision, model.unpinned) == ("main", True)
    told = tell_unpinned(config)
    assert told is not None and told.startswith("someone/model is NOT pinned")
    assert "EdgeTAM" not in told and tell_unpinned(parse_config({})) is None


def test_a_mask_tokenizer_comes_with_its_model() -> None:
    (model,) = needed(parse_config({"reasoning": {"model": f"samtok:someone/model@{SHA}"}}))
    assert "mask_tokenizer_256x2.pth" in model.files and not model.unpinned


def test_a_registered_model_is_asked_for_at_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    name = "Qwen/Qwen3-VL-2B-Instruct"
    assert at_commit(HubName(name)) == HubName(name, REGISTRY[name].revision)
    assert at_commit(HubName(name, "v2")) == HubName(name, "v2")
    assert at_commit(HubName("own/model")) == HubName("own/model")
    assert at_commit(HubName("", folder=tmp_path)) == HubName("", folder=tmp_path)
    branch = tmp_path / "models--Qwen--Qwen3-VL-2B-Instruct"
    (branch / "refs").mkdir(parents=True)
    (branch / "refs" / "main").write_text(SHA)
    (branch / "snapshots" / SHA).mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        (branch / "snapshots" / SHA / file).write_text("{}")
    assert at_commit(HubName(name)) == HubName(name)  # what is there is used


@pytest.mark.parametrize("name", ["tiny", "hf:", "hf:no spaces here/x", "openai:x"])
def test_a_whisper_that_is_none_is_refused_by_key(name: str) -> None:
    with pytest.raises(ConfigError, match="hearing.model"):
        parse_config({"hearing": {"model": name}})


def test_a_disk_without_room_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    model = HubModel("own/huge", "main", "model", "MIT", 0, ("*.json",))
    with pytest.raises(AssetError, match=r"expected \d+ MB of free space in .* set HF_HOME"):
        _check_space(model, 10**18, tmp_path / "not" / "yet")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("model")
    random_model(tiny_edgetam_config(), seed=1).save_pretrained(folder)
    weights = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**weights, "pytorch_model.bin": b"a pickle", "modeling.py": b"print('code')"}


@pytest.fixture
def hub(files: dict[str, bytes]) -> Iterator[SmallHub]:
    if any(not (cache_root() / asset.name).is_dir() for asset in ASSETS if asset.embedded):
        pytest.skip("the embedded assets are not here; run `foveal models pull`")
    with SmallHub() as small:
        small.models[NAME] = dict(files)
        yield small


def words(tmp_path: Path, name: str = NAME, *more: str) -> list[str]:
    """The command line that pulls a model, by a file of settings."""
    settings = tmp_path / "mine.yaml"
    settings.write_text(f"masklets: {{tracker: 'edgetam:{name}'}}\n")
    return ["models", "pull", "small-sam", "--config", str(settings), *more]


@pytest.mark.assets
def test_what_was_pulled_is_what_is_needed_and_loads_without_a_network(
    hub: SmallHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_hub(monkeypatch, hub.url, tmp_path)
    assert main(words(tmp_path, NAME, "--json")) == 0
    told = capsys.readouterr()
    assert "NOT pinned" in told.err  # no commit of it is known
    (model,) = json.loads(told.out)["models"]
    assert (model["state"], model["unpinned"]) == ("ok", True)
    assert {path.name for path in Path(model["folder"]).iterdir()} == {
        "config.json", "model.safetensors",
    }  # fmt: skip
    assert {name for name, _ in hub.fetched} == {"config.json", "model.safetensors"}
    hub.fetched.clear()
    use_hub(monkeypatch, hub.url, tmp_path, offline=True)
    assert isinstance(open_sam2(MaskletSettings(f"edgetam:{NAME}"), 2), Sam2Tracker)
    use_hub(monkeypatch, hub.url, tmp_path)
    assert main(words(tmp_path)) == 0 and not hub.fetched  # nothing twice


@pytest.mark.assets
def test_half_a_download_is_none_and_goes_on_where_it_broke_off(
    hub: SmallHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_hub(monkeypatch, hub.url, tmp_path)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut = len(hub.models[NAME]["model.safetensors"]) // 2000 * 1000
    assert main(words(tmp_path)) == 1 and NAME in capsys.readouterr().err.splitlines()[-1]
    use_hub(monkeypatch, hub.url, tmp_path, offline=True)
    with pytest.raises(AssetError, match="the weights of"):
        open_sam2(MaskletSettings(f"edgetam:{NAME}"), 2)
    begun, hub.cut = hub.cut, None
    hub.fetched.clear()
    use_hub(monkeypatch, hub.url, tmp_path)
    assert main(words(tmp_path)) == 0
    assert hub.fetched == [("model.safetensors", f"bytes={begun}-")]
    use_hub(monkeypatch, hub.url, tmp_path, offline=True)
    assert isinstance(open_sam2(MaskletSettings(f"edgetam:{NAME}"), 2), Sam2Tracker)


@pytest.mark.assets
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("gated", "accept its terms at https://huggingface.co/own/tiny-edgetam"),
        ("unknown", "found no own/other"),
        ("revision", "found no 'v9'"),
        ("huge", "of free space"),
        ("offline", "hf download own/tiny-edgetam"),
    ],
)
def test_what_cannot_be_pulled_is_told_in_one_line(
    hub: SmallHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    told: str,
) -> None:
    use_hub(monkeypatch, hub.url, tmp_path, offline=fault == "offline")
    hub.gated = {NAME: 403} if fault == "gated" else {}
    hub.gigabytes = 10**6 if fault == "huge" else 0
    name = {"unknown": "own/other", "revision": f"{NAME}@v9"}.get(fault, NAME)
    assert main(words(tmp_path, name)) == 1
    errors = capsys.readouterr().err
    line = errors.splitlines()[-1]
    assert line.startswith("foveal: AssetError") and told in line and "Traceback" not in errors
