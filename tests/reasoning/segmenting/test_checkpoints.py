"""Published checkpoint layouts: saved from small real models, loaded back, same numbers."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from perception.device import Device
from perception.sam2.convert import convert
from perception.sam2_tracking.open import best_precision
from reasoning.generation.config import DecodeConfig, VlmConfig
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.segmenting.checkpoint import part, read_weights
from reasoning.segmenting.internvl_language import InternVlLanguage
from reasoning.segmenting.marked_picture import MarkedPictures, boxed
from reasoning.segmenting.sa2va import PictureSizes, Projection, load_sa2va
from reasoning.segmenting.sam2_masks import Sam2WordMasks, is_mixed
from reasoning.segmenting.seg_token import SegTokenLMM
from reasoning.vlm.hf import ProcessorModel
from reasoning.vlm.hub_name import HubName
from stream.errors import AssetError, ConfigError
from stream.events import Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.sam2_random import randomise
from tests.reasoning.segmenting.published_keys import published_encoder
from tests.reasoning.segmenting.tiny_internvl import save_sa2va_internvl
from tests.reasoning.segmenting.tiny_models import (
    WORDS,
    picture,
    save_sa2va,
)

SIDE = 128
SIZES = PictureSizes(sam2=SIDE, pixels=(256, 4096), tiles=4)
SCENE = FakeScene([thing((8, 8, 40, 40), "cat", size=(48, 64))])


@pytest.fixture(scope="module")
def sam2() -> Any:
    """The sam2 package's own model at a small size."""
    build = pytest.importorskip("sam2.build_sam", reason="the sam2 package is not installed")
    model = build.build_sam2_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml",
        None,
        device="cpu",
        hydra_overrides_extra=[f"++model.image_size={SIDE}"],
    )
    randomise(model, 2)
    with torch.no_grad():
        tokens = model.forward_image(torch.randn(1, 3, SIDE, SIDE))["backbone_fpn"][-1]
        for conv in model.image_encoder.neck.convs:
            conv.conv.weight.div_(tokens.std())
            conv.conv.bias.div_(tokens.std())
    return model


def test_words_prompt_sam2_as_the_package_is_prompted_by_sa2va(sam2: Any) -> None:
    image, words = picture(), torch.randn(1, WORDS, generator=torch.Generator().manual_seed(0))
    ours = Sam2WordMasks(convert(sam2.state_dict(), SIDE))
    assert ours.width == WORDS
    mask = ours.mask(ours.features(image), words, (48, 64))
    with torch.inference_mode():
        pixels = ours._networks.pixels(image)
        out = sam2.forward_image(pixels)
        coarse = out["backbone_fpn"][-1] + sam2.no_mem_embed.reshape(1, -1, 1, 1)
        point, label = torch.zeros(1, 1, 2), -torch.ones(1, 1, dtype=torch.int32)
        sparse, dense = sam2.sam_prompt_encoder(points=(point, label), boxes=None, masks=None)
        masks, quality, _, _ = sam2.sam_mask_decoder(
            image_embeddings=coarse,
            image_pe=sam2.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=torch.cat([sparse, words[None]], dim=1),
            dense_prompt_embeddings=dense,
            multimask_output=True,
            repeat_image=False,
            high_res_features=out["backbone_fpn"][:2],
        )
        best = masks[:, quality[0].argmax()][:, None]
        full = F.interpolate(best, (48, 64), mode="bilinear", align_corners=False)
    theirs = (full[0, 0] > 0).numpy()
    assert (mask == theirs).mean() > 0.995 and 0 < mask.mean() < 1


@pytest.fixture
def grounding(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A small grounding encoder under the published names."""
    return published_encoder(shared_data, monkeypatch)


def load(folder: Path, dtype: Literal["float32", "bfloat16"] = "float32") -> SegTokenLMM:
    config = VlmConfig(device="cpu", dtype=dtype)
    return load_sa2va(HubName.parse(str(folder)), SCENE, config, SIZES)


def answered(lmm: SegTokenLMM, tokens: int = 12) -> str:
    """The loaded model answers through the decode loop."""
    decoder = SearchDecoder(ScriptedSearcher(), DecodeConfig(max_tokens=tokens))
    view = SCENE.read(Frame(0, 0, picture(), "test"))
    asked = Question("What is it?", 0, point=(20, 20))
    answer = Assistant(lmm, decoder).ask(asked, view, lambda _: None)
    assert answer.model == "tiny"
    return answer.sequence


def check_projection(lmm: SegTokenLMM, weights: dict[str, torch.Tensor]) -> None:
    """The states' way to the mask decoder is the stored one."""
    states = torch.randn(2, 32)
    first, second = (weights[f"text_hidden_fcs.{n}.weight"] for n in (0, 2))
    hidden = torch.relu(states @ first.T + weights["text_hidden_fcs.0.bias"])
    expected = hidden @ second.T + weights["text_hidden_fcs.2.bias"]
    assert torch.allclose(lmm._parts.project(states), expected, atol=1e-5)


def test_sa2va_on_qwen_loads_from_its_published_layout(
    grounding: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    model, weights = save_sa2va(tmp_path / "tiny", grounding)
    lmm = load(tmp_path / "tiny")
    assert isinstance(lmm._parts.language, MarkedPictures)
    inner = lmm._parts.language._language
    assert isinstance(inner, ProcessorModel)
    loaded = inner._model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())
    check_projection(lmm, weights)
    answered(lmm)


@pytest.mark.parametrize("internlm", [False, True])
def test_sa2va_on_internvl_loads_from_its_published_layout(
    grounding: dict[str, torch.Tensor], tmp_path: Path, internlm: bool
) -> None:
    weights, _ = save_sa2va_internvl(tmp_path / "tiny", grounding, internlm)
    lmm = load(tmp_path / "tiny")
    assert isinstance(lmm._parts.language, InternVlLanguage)
    check_projection(lmm, weights)
    answered(lmm)


def test_mixed_precision_gives_the_same_masks(sam2: Any) -> None:
    image, words = picture(), torch.randn(1, WORDS, generator=torch.Generator().manual_seed(0))
    found = []
    for mixed in (False, True):
        masks = Sam2WordMasks(convert(sam2.state_dict(), SIDE), mixed=mixed)
        features = masks.features(image)
        assert features.tokens.dtype == torch.float32
        found.append((features.tokens, masks.mask(features, words, (48, 64))))
    (exact, mask), (rounded, other) = found
    distance = float((exact - rounded).norm() / exact.norm())
    assert 0 < distance < 0.02 and (mask == other).mean() > 0.97


@pytest.mark.parametrize(
    ("place", "mixed"),
    [
        (Device("cuda", torch.bfloat16), True),
        (Device("cuda", torch.float32), False),
        (Device("cpu", torch.float32), False),
        (Device("cpu", torch.bfloat16), best_precision("cpu") == "mixed"),
    ],
)
def test_precision_is_that_of_tracking(place: Device, mixed: bool) -> None:
    assert is_mixed(place) is mixed


def test_the_language_side_may_be_halved_while_masks_stay_whole(
    grounding: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_sa2va_internvl(tmp_path / "tiny", grounding)
    lmm = load(tmp_path / "tiny", "bfloat16")
    assert isinstance(lmm._parts.language, InternVlLanguage)
    assert lmm._parts.language._model.dtype == torch.bfloat16
    assert isinstance(lmm._parts.masks, Sam2WordMasks)
    assert lmm._parts.masks.dtype == torch.float32
    answered(lmm)


def test_reading_in_steps_equals_reading_at_once(
    grounding: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_sa2va(tmp_path / "tiny", grounding)
    language = load(tmp_path / "tiny")._parts.language
    asked = [{"role": "user", "content": "What is it?"}]
    ids = [70, 71, 72, 73, 74]
    whole = language.begin(picture(), asked)
    at_once = language.feed(whole, ids)
    steps = language.begin(picture(), asked)
    one_by_one = torch.cat([language.feed(steps, [token]) for token in ids])
    assert torch.allclose(at_once, one_by_one, atol=1e-4)
    assert torch.allclose(whole.logits, steps.logits, atol=1e-4)
    again = language.begin(picture(1), asked)
    assert not torch.allclose(again.logits, language.begin(picture(), asked).logits, atol=1e-3)


def test_a_region_is_drawn_for_a_model_without_visual_prompts(
    grounding: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_sa2va(tmp_path / "tiny", grounding)
    language = load(tmp_path / "tiny")._parts.language
    asked = [{"role": "user", "content": "What is it?"}]
    mask = np.zeros((48, 64), bool)
    plain = language.begin(picture(), asked).logits
    assert torch.equal(language.begin(picture(), asked, mask).logits, plain)
    mask[10:30, 20:40] = True
    assert not torch.allclose(language.begin(picture(), asked, mask).logits, plain, atol=1e-3)
    drawn = boxed(picture(), mask)
    changed = (drawn != picture()).any(-1)
    assert changed[10, 20:40].mean() > 0.9 and changed[29, 20:40].mean() > 0.9
    assert not changed[12:28, 22:38].any() and not changed[:10].any()


def test_a_checkpoint_that_does_not_fit_is_told(
    grounding: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    with pytest.raises(AssetError, match=r"config\.json"):
        load(tmp_path)
    _, weights = save_sa2va(folder, grounding)
    (folder / "config.json").write_text('{"vision_config": {"model_type": "other"}}')
    with pytest.raises(AssetError, match="qwen3_vl"):
        load(folder)
    with pytest.raises(AssetError, match="under 'nothing'"):
        part(weights, "nothing")
    with pytest.raises(AssetError, match="two linear layers"):
        Projection({"0.weight": torch.zeros(2, 2)})


def test_half_a_download_is_told_by_what_is_missing(
    grounding: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    save_sa2va_internvl(folder, grounding)
    second = folder / "model-00002-of-00002.safetensors"
    whole = second.read_bytes()
    second.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AssetError, match="half a download"):
        load(folder)
    second.unlink()
    with pytest.raises(AssetError, match=r"1 are missing \(model-00002-of-00002"):
        load(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(AssetError, match="weight_map"):
        read_weights(folder)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(AssetError, match="InternVLForConditionalGeneration: .* missing"):
        load(folder)
    (folder / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(AssetError, match=r"expected \*\.safetensors"):
        read_weights(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(AssetError, match="an object"):
        load(folder)


def test_what_cannot_be_done_is_told_before_anything_is_read(tmp_path: Path) -> None:
    name = HubName.parse(str(tmp_path))
    with pytest.raises(ConfigError, match="quantise: none"):
        load_sa2va(name, SCENE, VlmConfig(quantise="4bit"))
    with pytest.raises(ConfigError, match="without a device_map"):
        load_sa2va(name, SCENE, VlmConfig(device_map="auto"))
    with pytest.raises(AssetError, match="the folder of a model"):
        load_sa2va(HubName.parse(str(tmp_path / "none")), SCENE)
