"""Small parts against what upstream does: holes, resizing, pointers, whole checkpoints."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from skimage import data, measure

from perception.sam2.convert import convert
from perception.sam2.holes import HOLE_LOGIT, fill_holes
from perception.sam2.types import Resize
from perception.sam2.upload import Uploader
from perception.sam2_tracking.open import load_model
from perception.sam2_tracking.policies import MemoryRules
from perception.sam2_tracking.state import Sam2Config
from stream.errors import AssetError, ConfigError
from tests.doubles.sam2_random import random_model, tiny_config


def filled(logits: torch.Tensor, max_area: int) -> torch.Tensor:
    """The same by scikit-image's labels."""
    out = logits.clone()
    for one in out:
        labels = measure.label((one <= 0).numpy(), connectivity=2)
        areas = np.bincount(labels.ravel())
        small = (areas <= max_area) & (np.arange(len(areas)) > 0)
        one[torch.from_numpy(small[labels])] = HOLE_LOGIT
    return out


@pytest.mark.parametrize("max_area", [0, 1, 8, 30])
def test_small_holes_are_filled(max_area: int) -> None:
    generator = torch.Generator().manual_seed(max_area)
    logits = torch.randn(3, 40, 48, generator=generator) + 0.8
    logits[2] = -5.0  # nothing there: one large component
    found = fill_holes(logits, max_area)
    assert torch.equal(found, filled(logits, max_area))
    assert torch.equal(found, logits) == (max_area == 0)


@pytest.mark.parametrize(("resize", "apart"), [("pillow", 0), ("bicubic", 2)])
@pytest.mark.parametrize("size", [64, 1024])
def test_pictures_are_resized_as_the_package_reads_them(
    resize: Resize, apart: int, size: int
) -> None:
    picture = data.astronaut()[:300, :400]
    expected = np.array(PIL.Image.fromarray(picture).resize((size, size)))
    found = Uploader(torch.device("cpu"), size, resize).take(picture).permute(1, 2, 0).numpy()
    assert int(np.abs(found.astype(int) - expected).max()) <= apart


@pytest.mark.parametrize(
    ("frames", "span"), [(None, 15), (40, 15), (16, 15), (8, 7), (2, 1), (1, 1)]
)
def test_short_clips_count_their_pointers_by_their_length(frames: int | None, span: int) -> None:
    assert MemoryRules(Sam2Config(clip_frames=frames), 6, 15).pointer_span == span


def test_a_clip_without_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match="clip_frames of 1 or more"):
        Sam2Config(clip_frames=0)


def test_a_folder_with_other_parameters_is_refused(tmp_path: Path) -> None:
    random_model(tiny_config(64, 64), seed=1).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    gone = weights.pop("no_object_pointer")
    save_file(weights | {"stray": gone.clone()}, file, {"format": "pt"})
    with pytest.raises(AssetError, match=r"1 missing: no_object_pointer; 1 unknown: stray"):
        load_model(tmp_path)


def test_a_checkpoint_with_other_parameters_is_refused() -> None:
    build = pytest.importorskip("sam2.build_sam", reason="the sam2 package is not installed")
    model = build.build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", None, device="cpu")
    whole = model.state_dict()
    less = {key: value for key, value in whole.items() if key != "no_obj_embed_spatial"}
    with pytest.raises(AssetError, match="1 missing: occlusion_spatial_embedding_parameter"):
        convert(less)
    less = {key: value for key, value in whole.items() if "point_embeddings.2" not in key}
    with pytest.raises(AssetError, match="1 missing: prompt_encoder.point_embed.weight; 3 unknown"):
        convert(less)
    with pytest.raises(AssetError, match="the model's shapes"):
        convert(whole | {"no_obj_ptr": torch.zeros(1, 7)})
