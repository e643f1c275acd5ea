"""SAM 3's phrase segmenter: the real classes with random weights, loaded by the real path."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.sam3.phrases import Sam3PhraseConfig, Sam3PhraseSegmenter, load_phrase_segmenter
from stream.errors import ConfigError, PromptError
from stream.frame import Image
from tests.doubles.sam3_random import save_phrase_model

ALL = Sam3PhraseConfig(min_score=0.0)  # random weights are sure of nothing


@pytest.fixture(scope="module", params=[False, True], ids=["sam3", "sam3_lite_text"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder as published, and the model that was written to it."""
    folder = tmp_path_factory.mktemp("phrases")
    return folder, save_phrase_model(folder, lite=request.param, seed=3)


def picture(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (60, 90, 3), dtype=np.uint8)


def counted(segmenter: Sam3PhraseSegmenter) -> dict[str, int]:
    """How often each encoder ran since."""
    passes = {"vision_encoder": 0, "text_encoder": 0}

    def count(name: str) -> None:
        def ran(*_: object) -> None:
            passes[name] += 1

        getattr(segmenter._model, name).register_forward_hook(ran)

    for name in passes:
        count(name)
    return passes


def test_instances_are_those_of_one_undivided_pass(published: Any) -> None:
    folder, model = published
    segmenter, image = load_phrase_segmenter(folder, ALL), picture()
    found = segmenter.segment(image, "red kettle")
    processor = segmenter._processor
    with torch.inference_mode():
        outputs = model(**processor(images=image, text="red kettle", return_tensors="pt"))
    (expected,) = processor.post_process_instance_segmentation(outputs, 0.0, 0.5, [(60, 90)])
    order = expected["scores"].argsort(descending=True)
    masks = [expected["masks"][n].numpy().astype(bool) for n in order]
    assert found.presence == pytest.approx(float(outputs.presence_logits.sigmoid()), abs=1e-5)
    shown = [n for n, mask in enumerate(masks) if mask.any()]
    assert len(found.instances) == len(shown) > 0
    for one, n in zip(found.instances, shown, strict=True):
        assert (one.mask != masks[n]).mean() < 1e-3 and one.mask.shape == (60, 90)
        assert one.score == pytest.approx(float(expected["scores"][order[n]]), abs=1e-5)
        assert one.box == pytest.approx(expected["boxes"][order[n]].tolist(), abs=1e-2)


def test_presence_is_part_of_every_score(published: Any) -> None:
    segmenter = load_phrase_segmenter(published[0], ALL)
    found = segmenter.segment(picture(), "cup")
    assert all(0 <= one.score <= found.presence for one in found.instances)
    strict = load_phrase_segmenter(published[0], Sam3PhraseConfig(min_score=1.0))
    nothing = strict.segment(picture(), "cup")
    assert nothing.instances == () and nothing.presence == pytest.approx(found.presence, abs=1e-5)


def test_a_picture_and_a_phrase_are_encoded_once(published: Any) -> None:
    segmenter = load_phrase_segmenter(published[0], ALL)
    passes, image = counted(segmenter), picture()
    first = segmenter.segment(image, "cup")
    segmenter.segment(image, "a  plate ")
    again = segmenter.segment(image, "cup")
    assert passes == {"vision_encoder": 1, "text_encoder": 2}
    assert [one.score for one in again.instances] == [one.score for one in first.instances]
    segmenter.segment(image.copy(), "a plate")  # another picture, the same words
    assert passes == {"vision_encoder": 2, "text_encoder": 2}


def test_phrases_and_pictures_differ(published: Any) -> None:
    segmenter = load_phrase_segmenter(published[0], ALL)
    cup = segmenter.segment(picture(), "cup").presence
    assert segmenter.segment(picture(), "zebra").presence != pytest.approx(cup, abs=1e-6)
    assert segmenter.segment(picture(1), "cup").presence != pytest.approx(cup, abs=1e-6)


def test_what_is_kept_is_bounded(published: Any) -> None:
    bounds = Sam3PhraseConfig(min_score=0.0, max_instances=2, kept_frames=2, kept_phrases=3)
    segmenter = load_phrase_segmenter(published[0], bounds)
    for number in range(8):
        found = segmenter.segment(picture(number), f"cup {'abcdefgh'[number]}")
        assert len(found.instances) <= 2
    assert segmenter.kept == (2, 3)
    passes = counted(segmenter)
    segmenter.segment(picture(7), "cup h")  # equal, but another picture: nothing stale is given
    assert passes == {"vision_encoder": 1, "text_encoder": 0}


def test_long_phrases_are_cut_and_empty_ones_refused(published: Any) -> None:
    segmenter = load_phrase_segmenter(published[0], ALL)
    assert 0 <= segmenter.segment(picture(), "kettle " * 40).presence <= 1
    with pytest.raises(PromptError, match="expected a phrase with words"):
        segmenter.segment(picture(), "  ")


def test_another_image_size(published: Any) -> None:
    segmenter = load_phrase_segmenter(published[0], ALL, image_size=70)
    assert segmenter.image_size == 70
    assert segmenter.segment(picture(), "cup").instances[0].mask.shape == (60, 90)
    with pytest.raises(ConfigError, match="multiple of 14"):
        load_phrase_segmenter(published[0], image_size=64)


def test_mixed_keeps_float32_between_the_layers(published: Any) -> None:
    exact = load_phrase_segmenter(published[0], ALL).segment(picture(), "cup")
    segmenter = load_phrase_segmenter(published[0], ALL, mixed=True)
    kinds = []
    layer = segmenter._model.vision_encoder.backbone.layers[0]
    layer.register_forward_hook(lambda module, given, out: kinds.append(out.dtype))
    found = segmenter.segment(picture(), "cup")
    assert kinds == [torch.float32]
    assert found.presence == pytest.approx(exact.presence, abs=0.05)


def test_bounds_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="of 1 or more"):
        Sam3PhraseConfig(kept_frames=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("mixed", [False, True])
def test_the_same_on_a_gpu(published: Any, mixed: bool) -> None:
    folder: Path = published[0]
    exact = load_phrase_segmenter(folder, ALL).segment(picture(), "cup")
    found = load_phrase_segmenter(folder, ALL, device="cuda", mixed=mixed).segment(picture(), "cup")
    assert found.presence == pytest.approx(exact.presence, abs=0.05 if mixed else 1e-3)
