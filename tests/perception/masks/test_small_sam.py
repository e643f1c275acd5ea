"""The small SAM: the encoder is the exported one, masks lie on the thing, prompts are checked."""

import gc
from pathlib import Path

import cv2
import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from skimage import data

from foveal.assets.convert import network_path
from foveal.assets.registry import asset_path
from foveal.demo.scene import CUP
from perception.features.backbone import Features
from perception.features.weights import load_parameters
from perception.masks.sam_decoder import (
    CORNER,
    INSIDE,
    NOTHING,
    OPPOSITE,
    OUTSIDE,
    Prompts,
    SamDecoder,
)
from perception.masks.small_sam import DECODER, ENCODER, SmallSam
from perception.masks.tiny_vit import TinyViT
from stream.errors import AssetError, MissingAssetError, PromptError
from stream.frame import Image, Mask
from stream.geometry import mask_iou
from tests.doubles.perception import fake_features

pytestmark = pytest.mark.assets
CUP_BOX = (165, 10, 415, 310)


@pytest.fixture(scope="module")
def files() -> tuple[Path, Path]:
    """The encoder's and the decoder's weights."""
    try:
        return network_path("small-sam", ENCODER), network_path("small-sam", DECODER)
    except MissingAssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def sam(files: tuple[Path, Path]) -> SmallSam:
    torch.set_num_threads(1)
    return SmallSam.load(*files)


@pytest.fixture(scope="module")
def coffee() -> Image:
    return np.asarray(data.coffee(), np.uint8)


def cup(image: Image) -> Mask:
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(CUP, np.int32)], 1)
    return mask > 0


def features(image: Image) -> Features:
    return fake_features((image.shape[0], image.shape[1]))


def test_the_encoder_is_the_exported_one(files: tuple[Path, Path]) -> None:
    pixels = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0)) * 4 - 2
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(asset_path("small-sam", "encoder.onnx"), options)
    (wanted,) = session.run(None, {"input": pixels.numpy()})
    encoder = load_parameters(TinyViT(), files[0])
    assert np.abs(encoder(pixels).numpy() - wanted).max() < 2e-3


@pytest.mark.parametrize(
    ("prompts", "shown"),
    [
        ([(165.0, 10.0, CORNER), (415.0, 310.0, OPPOSITE), (0.0, 0.0, NOTHING)], False),
        ([(300.0, 250.0, INSIDE), (0.0, 0.0, NOTHING)], False),
        ([(300.0, 250.0, INSIDE), (20.0, 30.0, OUTSIDE)], True),
    ],
)
def test_the_decoder_is_the_exported_one(
    files: tuple[Path, Path], prompts: Prompts, shown: bool
) -> None:
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((256, 64, 64)).astype(np.float32) * 0.1
    before = 5 * rng.standard_normal((256, 256)).astype(np.float32)
    session = onnxruntime.InferenceSession(asset_path("small-sam", "sam.onnx"))
    feed = {
        "image_embeddings": cells[None],
        "point_coords": np.array([[prompt[:2] for prompt in prompts]], np.float32),
        "point_labels": np.array([[label for _, _, label in prompts]], np.float32),
        "mask_input": before[None, None] * shown,
        "has_mask_input": np.array([shown], np.float32),
        "orig_im_size": np.array([256, 256], np.float32),
    }
    score, logits = session.run(["iou_predictions", "low_res_masks"], feed)
    decoder = load_parameters(SamDecoder(), files[1])
    found, sure = decoder(torch.from_numpy(cells), prompts, before if shown else None)
    assert np.abs(found - logits[0, 0]).max() < 0.02 * np.abs(found).max()
    assert sure == pytest.approx(float(score[0, 0]), abs=5e-3)


def test_a_box_and_a_point_give_the_cup(sam: SmallSam, coffee: Image) -> None:
    assert mask_iou(sam.from_box(coffee, CUP_BOX), cup(coffee)) > 0.8
    point = sam.from_point(coffee, (300, 250), features(coffee))
    assert point[250, 300] and point[CUP_BOX[1] : CUP_BOX[3], CUP_BOX[0] : CUP_BOX[2]].any()


def test_a_rough_mask_becomes_the_cup(sam: SmallSam, coffee: Image) -> None:
    rough = np.zeros(coffee.shape[:2], bool)
    rough[40:300, 180:400] = True
    sharp = sam.sharpen(coffee, rough)
    assert mask_iou(sharp, cup(coffee)) > max(0.75, mask_iou(rough, cup(coffee)))
    assert not sam.sharpen(coffee, np.zeros_like(rough)).any()


def test_a_box_never_overflows_and_a_tiny_picture_works(sam: SmallSam) -> None:
    image = np.full((9, 5, 3), 90, np.uint8)
    mask = sam.from_box(image, (1, 2, 4, 8))
    assert mask.shape == (9, 5) and mask.any()
    assert not mask[:2].any() and not mask[:, 4:].any()
    assert sam.from_point(image, (4, 8), features(image))[8, 4]


@pytest.mark.parametrize("box", [(700, 10, 800, 60), (5, 5, 5, 9)])
def test_a_box_outside_is_refused(
    sam: SmallSam, coffee: Image, box: tuple[int, int, int, int]
) -> None:
    with pytest.raises(PromptError):
        sam.from_box(coffee, box)


def test_a_point_outside_is_refused(sam: SmallSam, coffee: Image) -> None:
    with pytest.raises(PromptError, match="expected a point"):
        sam.from_point(coffee, (600, 10), features(coffee))


def test_a_picture_is_looked_at_once_and_forgotten_with_it(sam: SmallSam, coffee: Image) -> None:
    own = coffee.copy()
    first = sam.embed(own)
    assert sam.embed(own) is first
    assert sam.embed(own.copy()) is not first
    del own
    gc.collect()
    assert sam.embed(coffee) is sam.embed(coffee)


def test_another_networks_file_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    encoder, decoder = files
    with pytest.raises(
        AssetError, match=r"TinyViT in .* missing \(\['patch_embed.* unknown \(\['dec"
    ):
        SmallSam.load(decoder, decoder)
    with pytest.raises(AssetError, match="the weights of SamDecoder in .*run `foveal models pull`"):
        SmallSam.load(encoder, encoder)
    for content in (b"no model", encoder.read_bytes()[:-1000], b""):
        (tmp_path / "half").write_bytes(content)
        with pytest.raises(
            AssetError, match="whole safetensors file at .*run `foveal models pull`"
        ):
            SmallSam.load(tmp_path / "half", decoder)


def test_lowering_leaves_the_norms_as_they_are(files: tuple[Path, Path]) -> None:
    encoder = load_parameters(TinyViT(), files[0])
    pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        wanted = encoder(pixels).float()
    lowered = encoder.lower(torch.bfloat16)
    assert (lowered(pixels).float() - wanted).abs().max() < 1e-2
    kinds = {type(each).__name__: each for each in lowered.modules()}
    assert kinds["LayerNorm"].weight.dtype is torch.float32
    assert kinds["Linear"].weight.dtype is torch.bfloat16
