"""Checkpoints that are no SAM 3, or not all of one, are refused with what to do."""

import json
from pathlib import Path

import pytest

from perception.sam3.checkpoint import load_part, out_of_reach, read_config
from perception.sam3.phrases import load_phrase_segmenter
from stream.errors import AssetError, ConfigError
from tests.doubles.hub import SmallHub, use_hub
from tests.doubles.sam2_random import random_model, tiny_config
from tests.doubles.sam3_random import (
    random_tracker_model,
    save_phrase_model,
    tiny_tracker_config,
)


@pytest.fixture(scope="module")
def phrases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phrases")
    save_phrase_model(folder)
    return folder


def copied(folder: Path, to: Path, without: str = "") -> Path:
    to.mkdir()
    for one in folder.iterdir():
        if one.name != without:
            (to / one.name).write_bytes(one.read_bytes())
    return to


@pytest.mark.parametrize(
    "name", ["facebook/sam3.1", "models/sam3.1_multiplex.pt", "SAM3_1-hf", "stage1_sam3p1/"]
)
def test_sam_3_1_is_refused_by_name_with_the_reason(name: str) -> None:
    with pytest.raises(AssetError, match=r"SAM 3\.1 .*share one memory.*use facebook/sam3"):
        load_part(name, "tracker")


def test_the_original_file_is_refused_with_what_to_name() -> None:
    with pytest.raises(AssetError, match=r"expected a hub id or a folder.*facebook/sam3 holds"):
        load_part("models/sam3.pt", "phrases")


def test_another_architecture(tmp_path: Path, phrases: Path) -> None:
    random_model(tiny_config(64, 64)).save_pretrained(tmp_path / "sam2")
    with pytest.raises(AssetError, match="sam3_lite_text at .*got sam2_video"):
        load_part(tmp_path / "sam2", "phrases")
    with pytest.raises(AssetError, match="sam3_tracker_video at .*got sam3"):
        load_part(phrases, "tracker")
    random_tracker_model(tiny_tracker_config(56)).save_pretrained(tmp_path / "tracker")
    with pytest.raises(AssetError, match="got sam3_tracker_video"):
        load_part(tmp_path / "tracker", "phrases")


@pytest.mark.parametrize("without", ["config.json", "model.safetensors", "tokenizer.json"])
def test_half_a_folder(without: str, tmp_path: Path, phrases: Path) -> None:
    folder = copied(phrases, tmp_path / "half", without)
    with pytest.raises(AssetError, match="half"):
        load_phrase_segmenter(folder)


def test_a_cut_file(tmp_path: Path, phrases: Path) -> None:
    weights = copied(phrases, tmp_path / "cut") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20_000])
    with pytest.raises(AssetError, match="expected a hub id or a folder"):
        load_part(weights.parent, "phrases")


def test_missing_and_unknown_parameters_are_named(tmp_path: Path, phrases: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = copied(phrases, tmp_path / "other") / "model.safetensors"
    tensors = load_file(weights)
    tensors["text_projection.heft"] = tensors.pop("text_projection.weight")
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(AssetError, match=r"1 are missing \(text_projection.weight\), 1 unknown"):
        load_part(weights.parent, "phrases")


def test_other_shapes_than_the_configuration_says(tmp_path: Path, phrases: Path) -> None:
    config = copied(phrases, tmp_path / "shapes") / "config.json"
    told = json.loads(config.read_text())
    told["detr_decoder_config"]["num_queries"] = 9
    config.write_text(json.dumps(told))
    with pytest.raises(AssetError, match="expected a hub id or a folder"):
        load_part(config.parent, "phrases")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("gated", "is gated: accept its terms at .*co/owner/sam3, .*hf auth login"),
        ("token", "does not know the token.*hf auth login"),
        ("unknown", "found no owner/sam3"),
    ],
)
def test_a_hub_that_refuses_says_what_to_do(
    fault: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with SmallHub() as hub:
        if fault != "unknown":
            hub.models["owner/sam3"] = {"config.json": b"{}"}
        hub.gated, hub.bad_token = {"owner/sam3": 401} if fault == "gated" else {}, fault == "token"
        use_hub(monkeypatch, hub.url, tmp_path)
        with pytest.raises(AssetError, match=told):
            load_part("owner/sam3", "phrases")


def test_out_of_reach_keeps_the_reason() -> None:
    assert "no such thing" in str(out_of_reach("x/y", OSError("no such thing\nand more")))


@pytest.mark.parametrize("size", [0, 13, 64, 1024])
def test_sizes_that_are_no_multiple_of_a_patch(size: int, phrases: Path) -> None:
    with pytest.raises(ConfigError, match="multiple of 14"):
        load_part(phrases, "phrases", size)


def test_both_parts_of_one_published_checkpoint(tmp_path: Path) -> None:
    import torch
    from transformers import Sam3VideoConfig, Sam3VideoModel

    from tests.doubles.sam2_random import randomise
    from tests.doubles.sam3_random import tiny_phrase_config

    config = Sam3VideoConfig(
        detector_config=tiny_phrase_config(hidden=64), tracker_config=tiny_tracker_config(hidden=64)
    )
    whole = Sam3VideoModel(config)
    randomise(whole, 5)
    whole.save_pretrained(tmp_path)
    assert read_config(tmp_path, "tracker").model_type == "sam3_tracker_video"
    phrases, tracker = load_part(tmp_path, "phrases"), load_part(tmp_path, "tracker")
    pixels = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        seen = whole.detector_model.get_vision_features(pixels)
        ours = phrases.get_vision_features(pixels)
        neck, _ = whole.get_vision_features_for_tracker(vision_embeds=seen)
    assert torch.equal(seen.fpn_hidden_states[0], ours.fpn_hidden_states[0])
    named = dict(tracker.named_parameters())
    for name, parameter in whole.tracker_model.named_parameters():
        assert torch.equal(named[name], parameter)
    with torch.inference_mode():
        found = tracker.get_image_features(pixels, return_dict=True).fpn_hidden_states[-1]
    assert torch.allclose(found, neck[-1], atol=1e-5)
