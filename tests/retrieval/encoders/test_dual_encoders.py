"""Every family of towers with small random weights, through the path that published ones take."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from retrieval.encoders.alpha import ALPHA, open_alpha_clip
from retrieval.encoders.hf import FAMILIES, open_hf
from retrieval.encoders.open_clip import open_clip_towers, pretrained_file
from retrieval.encoders.regions import DualEncoder, DualTowers, chosen_cells, cover
from stream.errors import AssetError, ConfigError, QueryError
from stream.frame import Image, Mask
from tests.doubles.encoder_random import save_hf, save_open_clip

Make = Callable[[int], DualTowers]  # of a seed
RNG = np.random.default_rng(0)
IMAGE: Image = RNG.integers(0, 255, (40, 40, 3), np.uint8)
MASK: Mask = np.zeros((40, 40), bool)
MASK[4:20, 18:34] = True
WHOLE: Mask = np.ones((40, 40), bool)
OPEN_CLIP = ("foveal-test-vit", "foveal-test-timm")


@pytest.fixture(params=[*FAMILIES, *OPEN_CLIP], scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    name, folder = str(request.param), tmp_path_factory.mktemp("towers")
    if name in FAMILIES:

        def of_seed(seed: int) -> DualTowers:
            save_hf(name, folder / str(seed), seed)
            return open_hf(folder / str(seed), name)

        return lru_cache(of_seed)
    pytest.importorskip("open_clip", reason="foveal[clip] is not installed")

    def of_file(seed: int) -> DualTowers:
        file = folder / f"{seed}.safetensors"
        save_open_clip(name, file, seed)
        return open_clip_towers(name, file)

    return lru_cache(of_file)


def test_vectors_are_units_that_stay_and_tell_apart(made: Make) -> None:
    towers = made(0)
    assert towers.region_modes == ("crop", "blanked", "both", "pooled")
    encoder = DualEncoder(towers)
    told: list[tuple[int, int]] = []
    texts = encoder.encode_text(
        ["a cup", "the sea, " * 40], progress=lambda *done: told.append(done)
    )
    assert texts.shape == (2, encoder.dim) and told == [(2, 2)]
    assert texts[0] @ texts[1] < 0.999
    images = encoder.encode_images([IMAGE, IMAGE[::-1, :7], IMAGE[:3, :, :]])
    for vectors in (texts, images):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(images[:1], encoder.encode_images([IMAGE]), atol=1e-5)
    assert encoder.encode_text([]).shape == encoder.encode_images([]).shape == (0, encoder.dim)
    assert encoder.encode_regions([], []).shape == (0, encoder.dim)


def test_a_mask_matters_and_a_whole_one_does_not(made: Make) -> None:
    towers = made(0)
    ids = set()
    for mode in towers.region_modes:
        encoder = DualEncoder(towers, mode)
        ids.add(encoder.id)
        one, other = encoder.encode_regions([IMAGE, IMAGE], [MASK, MASK.T])
        assert one @ other < 0.9999, mode
        again = encoder.encode_regions([IMAGE], [MASK])[0]
        np.testing.assert_allclose(one, again, atol=1e-5)
    assert len(ids) == 4
    crop = DualEncoder(towers, "crop")
    whole = crop.encode_regions([IMAGE], [WHOLE])
    np.testing.assert_allclose(whole, crop.encode_images([IMAGE]), atol=1e-6)


def test_other_weights_have_another_name(made: Make) -> None:
    assert made(0).id != made(1).id


@pytest.mark.parametrize("family", ["siglip", "siglip2"])
def test_attention_over_all_patches_is_the_picture(family: str, tmp_path: Path) -> None:
    save_hf(family, tmp_path)
    pooled = DualEncoder(open_hf(tmp_path, family), "pooled")
    square = np.asarray(RNG.integers(0, 255, (32, 32, 3)), np.uint8)
    whole = pooled.encode_regions([square], [np.ones((32, 32), bool)])
    np.testing.assert_allclose(whole, pooled.encode_images([square]), atol=1e-4)


def test_alpha_reads_the_mask_as_a_channel(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason="foveal[clip] is not installed")
    base, file = tmp_path / "base.safetensors", tmp_path / "alpha.pth"
    made = save_open_clip(OPEN_CLIP[0], base)
    tensors = {
        name.replace("in_proj_", "in_proj."): value.half()
        for name, value in made.visual.state_dict().items()
    }
    channel = torch.randn(64, 1, 8, 8)
    torch.save({**tensors, ALPHA: torch.zeros_like(channel)}, file)
    plain = DualEncoder(open_clip_towers(OPEN_CLIP[0], base), "crop")
    blind = open_alpha_clip(OPEN_CLIP[0], base, file)
    assert blind.region_modes[-1] == "alpha"
    same = DualEncoder(blind, "alpha").encode_images([IMAGE])
    np.testing.assert_allclose(same, plain.encode_images([IMAGE]), atol=1e-2)  # half precision
    torch.save({**tensors, ALPHA: channel}, file)
    seeing = DualEncoder(open_alpha_clip(OPEN_CLIP[0], base, file), "alpha")
    one, other, whole = seeing.encode_regions([IMAGE] * 3, [MASK, ~MASK, WHOLE])
    assert one @ other < 0.99
    np.testing.assert_allclose(whole[None], seeing.encode_images([IMAGE]), atol=1e-2)
    torch.save(tensors, file)
    with pytest.raises(AssetError, match="expected conv1_alpha.weight"):
        open_alpha_clip(OPEN_CLIP[0], base, file)
    torch.save({**tensors, ALPHA: channel, "lora_A": channel}, file)
    with pytest.raises(AssetError, match="do not fit"):
        open_alpha_clip(OPEN_CLIP[0], base, file)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    save_hf("clip", tmp_path)
    towers = open_hf(tmp_path, "mine")
    with pytest.raises(ConfigError, match="crop, blanked, both, pooled, got 'alpha'"):
        DualEncoder(towers, "alpha")
    encoder = DualEncoder(towers)
    with pytest.raises(QueryError, match="sequence of strings"):
        encoder.encode_text("one text")
    with pytest.raises(QueryError, match="empty mask"):
        encoder.encode_regions([IMAGE], [np.zeros_like(MASK)])
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: v for name, v in tensors.items() if "visual_proj" not in name}, weights)
    with pytest.raises(AssetError, match="1 are missing"):
        open_hf(tmp_path, "mine")
    save_file({name: torch.full_like(v, torch.nan) for name, v in tensors.items()}, weights)
    with pytest.raises(QueryError, match="finite"):
        DualEncoder(open_hf(tmp_path, "mine")).encode_images([IMAGE])
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(AssetError, match="the encoder mine cannot be loaded"):
        open_hf(tmp_path, "mine")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(AssetError, match="got bert"):
        open_hf(tmp_path, "mine")
    with pytest.raises(AssetError, match="transformers knows"):
        open_hf(tmp_path / "none", "mine")


def test_open_clip_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason="foveal[clip] is not installed")
    file = tmp_path / "w.safetensors"
    save_open_clip(OPEN_CLIP[0], file)
    with pytest.raises(ConfigError, match="a model of open_clip"):
        open_clip_towers("ViT-none", file)
    with pytest.raises(AssetError, match="do not fit open_clip's ViT-B-32"):
        open_clip_towers("ViT-B-32", file)
    with pytest.raises(ConfigError, match="openai"):
        pretrained_file("ViT-B-32", "mine")
    harmful = tmp_path / "w.pt"
    torch.save({"state_dict": Path}, harmful)
    with pytest.raises(AssetError, match="tensors alone"):
        open_clip_towers(OPEN_CLIP[0], harmful)


def test_cells_under_a_mask() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = mask[0, 7] = True
    assert cover(mask, (2, 2)).tolist() == [[1, 1 / 16], [0, 0]]
    assert chosen_cells(mask, (2, 2)).tolist() == [0]
    mask[:, :7] = False
    assert chosen_cells(mask, (2, 2)).tolist() == [1]
