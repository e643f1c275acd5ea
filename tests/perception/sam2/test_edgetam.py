"""EdgeTAM's official checkpoint, and sizes that it was not trained at."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from perception.sam2 import networks
from perception.sam2.convert import Weights
from perception.sam2.convert_edgetam import convert_edgetam, edgetam_config, rename_edgetam
from perception.sam2_tracking import verification
from perception.sam2_tracking.open import load_model, load_sam2_tracker
from stream.errors import AssetError
from tests.doubles.sam2_random import random_model, tiny_edgetam_config
from tests.perception.sam2.sam2_rig import blob, frame, run

SIZE = 256  # the smallest: 16 latents a side, one cell each


@pytest.fixture
def official(shared_data: Path) -> Weights:
    """Random weights under the names and of the shapes of `edgetam.pt`."""
    shapes = json.loads((shared_data / "goldens" / "edgetam_keys.json").read_text())
    generator = torch.Generator().manual_seed(0)
    weights: Weights = {}
    for key, shape in shapes.items():
        fan = max(1, torch.Size(shape[1:]).numel())
        noise = torch.randn(tuple(shape), generator=generator) / fan**0.5
        if key.endswith(("running_var", "norm.weight", "bn.weight")):
            noise = 1 + 0.1 * noise.abs()
        weights[key] = noise if shape else torch.tensor(0)
    return weights


@pytest.mark.shared
def test_the_official_names_all_have_their_place(official: Weights) -> None:
    from transformers import EdgeTamVideoModel

    with torch.device("meta"):
        expected = EdgeTamVideoModel(edgetam_config()).state_dict()
    renamed = rename_edgetam(official)
    assert {key: value.shape for key, value in renamed.items()} == {
        key: value.shape for key, value in expected.items()
    }


@pytest.mark.shared
def test_the_official_checkpoint_tracks(official: Weights, tmp_path: Path) -> None:
    file = tmp_path / "edgetam.pt"
    torch.save({"model": official}, file)
    tracker = load_sam2_tracker(file, image_size=SIZE)
    assert tracker.networks.edge
    state, _ = tracker.add(tracker.init_state(), frame(0), None, blob())
    state = run(tracker, state, 0, 3)
    assert state.tracks[0].logits.shape == (SIZE // 4, SIZE // 4)
    assert bool(state.tracks[0].logits.isfinite().all())


@pytest.mark.shared
def test_the_official_checkpoint_agrees_with_transformers(
    official: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edgetam.pt"
    torch.save({"model": official}, file)
    monkeypatch.setattr(verification, "FRAMES", 4)
    rows = verification.verify(file, SIZE)
    assert [row.component for row in rows] == ["mask logits", "masks"]
    assert all(row.agrees for row in rows), rows


def test_a_memory_that_differs_does_not_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_model(tiny_edgetam_config(), seed=2).save_pretrained(tmp_path)
    monkeypatch.setattr(verification, "FRAMES", 4)
    assert all(row.agrees for row in verification.verify_edgetam(tmp_path, 128))
    remember = networks.Sam2Networks.remember

    def half(network: Any, features: Any, decoded: Any, prompted: bool) -> torch.Tensor:
        return 0.5 * remember(network, features, decoded, prompted)

    monkeypatch.setattr(networks.Sam2Networks, "remember", half)
    assert not all(row.agrees for row in verification.verify_edgetam(tmp_path, 128))


@pytest.mark.shared
def test_key_and_value_are_not_swapped(official: Weights) -> None:
    both = official["spatial_perceiver.layers.0.attn.to_kv.weight"]
    renamed = rename_edgetam(official)
    for kind, rows in (("k", slice(0, 64)), ("v", slice(64, 128))):
        name = f"spatial_perceiver.layers.0.cross_attention.{kind}_proj.weight"
        assert torch.equal(renamed[name], both[rows])


@pytest.mark.shared
def test_a_part_of_the_checkpoint_is_refused(official: Weights) -> None:
    less = {key: value for key, value in official.items() if key != "no_obj_ptr"}
    with pytest.raises(AssetError, match="1 missing: no_object_pointer"):
        convert_edgetam(less, SIZE)


def turned(model: Any) -> torch.Tensor:
    """[L, T] what the code adds to the angle between each cell and each latent, lowest channel."""
    attention = model.memory_attention
    cells, latents = attention.position_ids.float(), attention.position_ids_k.float()
    turns: torch.Tensor = cells[:, None] - latents[None]
    return turns


def test_a_smaller_picture_turns_a_cell_and_its_latent_as_in_training(tmp_path: Path) -> None:
    random_model(tiny_edgetam_config(256, 64), seed=1).save_pretrained(tmp_path)  # 4 latents a side
    trained, smaller = load_model(tmp_path), load_model(tmp_path, 128)
    whole = turned(trained).view(16, 16, 4, 4, 2)
    half = turned(smaller).view(8, 8, 4, 4, 2)
    for cell in range(8):
        latent = cell // 2
        found = half[cell, cell, latent, latent]
        # In training the cell that lies as many latents from the corner: the same share is left.
        assert torch.allclose(found, whole[2 * cell, 2 * cell, latent, latent] / 2)
    assert torch.equal(trained.memory_attention.position_ids_k.max(), torch.tensor(3.0))
    assert torch.equal(smaller.memory_attention.position_ids_k.max(), torch.tensor(1.5))


def test_frequencies_stay_exact_in_half_precision(tmp_path: Path) -> None:
    random_model(tiny_edgetam_config(128, 64), seed=1).save_pretrained(tmp_path)
    from perception.sam2.memory_attention import _turn

    model = load_model(tmp_path)
    attention = model.memory_attention
    exact = _turn(attention, attention.position_ids)
    cast = _turn(model.to(torch.bfloat16).memory_attention, attention.position_ids)
    assert torch.equal(exact, cast) and exact.dtype == torch.complex64
