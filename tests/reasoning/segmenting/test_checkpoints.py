"""Published checkpoint layouts: saved from small real models, loaded back, same numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from perception.sam2.convert import convert
from reasoning.generation.config import DecodeConfig
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.segmenting.sa2va import load_sa2va, part, projection, read_weights
from reasoning.segmenting.sam2_masks import Sam2WordMasks
from reasoning.segmenting.seg_token import SegTokenLMM
from stream.errors import AssetError
from stream.events import Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.sam2_random import randomise
from tests.reasoning.segmenting.tiny_models import (
    WORDS,
    picture,
    save_sa2va,
)

SIDE = 128
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


def answered(lmm: SegTokenLMM, tokens: int = 12) -> str:
    """The loaded model answers through the decode loop."""
    decoder = SearchDecoder(ScriptedSearcher(), DecodeConfig(max_tokens=tokens))
    view = SCENE.read(Frame(0, 0, picture(), "test"))
    answer = Assistant(lmm, decoder).ask(Question("What is it?", 0), view, lambda _: None)
    assert answer.model == "tiny"
    return answer.sequence


def test_sa2va_loads_from_its_published_layout(sam2: Any, tmp_path: Path) -> None:
    model, weights = save_sa2va(tmp_path / "tiny", sam2)
    lmm = load_sa2va(tmp_path / "tiny", SCENE, image_size=SIDE, pixels=(256, 4096))
    parts = lmm._parts
    loaded = parts.language._model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())
    states = torch.randn(2, 32)
    first, second = (weights[f"text_hidden_fcs.{n}.weight"] for n in (0, 2))
    hidden = torch.relu(states @ first.T + weights["text_hidden_fcs.0.bias"])
    expected = hidden @ second.T + weights["text_hidden_fcs.2.bias"]
    assert torch.allclose(parts.project(states), expected, atol=1e-5)
    answered(lmm)


def test_reading_in_steps_equals_reading_at_once(sam2: Any, tmp_path: Path) -> None:
    save_sa2va(tmp_path / "tiny", sam2)
    language = load_sa2va(
        tmp_path / "tiny", SCENE, image_size=SIDE, pixels=(256, 4096)
    )._parts.language
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


def test_a_checkpoint_that_does_not_fit_is_told(sam2: Any, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    with pytest.raises(AssetError, match="safetensors"):
        load_sa2va(tmp_path, SCENE)
    _, weights = save_sa2va(folder, sam2)
    (folder / "config.json").write_text('{"vision_config": {"model_type": "other"}}')
    with pytest.raises(AssetError, match="qwen3_vl"):
        load_sa2va(folder, SCENE, image_size=SIDE)
    with pytest.raises(AssetError, match="under 'nothing'"):
        part(weights, "nothing")
    with pytest.raises(AssetError, match="two linear layers"):
        projection({"0.weight": torch.zeros(2, 2)})
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"junk")
    with pytest.raises(AssetError, match="can be read"):
        read_weights(folder)
