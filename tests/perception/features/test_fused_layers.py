"""The fused layers give the plain modules' numbers, whatever the picture's sides."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.features.backbone import _fuse
from perception.features.fused_layers import Layer, can_fuse, lite_stages

pytestmark = pytest.mark.skipif(not can_fuse("cpu"), reason="needs torch with oneDNN")


Stages = list[tuple[Layer, Layer]]


@pytest.fixture(scope="module")
def stages() -> Stages:
    """Each stage plain and fused, of one untrained network."""
    torch.manual_seed(0)
    model = _fuse(timm.create_model("tf_efficientnet_lite2", pretrained=False).eval())
    model = model.to(memory_format=torch.channels_last)
    return list(zip(lite_stages(model, False), lite_stages(model, True), strict=True))


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70))
def test_every_stage_is_the_same(stages: Stages, height: int, width: int) -> None:
    """Even and odd sides are padded in different ways."""
    picture = torch.rand(1, 3, height, width).contiguous(memory_format=torch.channels_last)
    plain, fused = picture, picture
    with torch.inference_mode():
        for one, other in stages:
            plain, fused = one(plain), other(fused)
            assert plain.shape == fused.shape
            assert float((plain - fused).abs().max()) <= 1e-4 * float(plain.abs().max())


def test_other_devices_take_the_plain_modules() -> None:
    assert not can_fuse("cuda") and not can_fuse("meta")
