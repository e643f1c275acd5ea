"""The fused layers give the plain modules' numbers, whatever the picture's sides."""

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.features.backbone import _fuse
from perception.features.fused_layers import AFTER, After, Layer, SameConv2d, lite_stages
from perception.torch_compat import has_fused_convolution

fusing = pytest.mark.skipif(not has_fused_convolution(), reason="needs torch with oneDNN")


Stages = list[tuple[Layer, Layer]]


@pytest.fixture(scope="module")
def stages() -> Stages:
    """Each stage plain and fused, of one untrained network."""
    torch.manual_seed(0)
    model = _fuse(timm.create_model("tf_efficientnet_lite2", pretrained=False).eval())
    model = model.to(memory_format=torch.channels_last)
    ends = ((model.conv_stem, model.bn1), (model.conv_head, model.bn2))
    stem, head = (torch.nn.Sequential(*end) for end in ends)
    return list(zip([stem, *model.blocks, head], lite_stages(model), strict=True))


@fusing
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


def test_other_devices_take_the_plain_way() -> None:
    layer = SameConv2d(3, 4, 3, 2, after="relu6").to("meta")
    with torch.inference_mode():
        assert layer(torch.zeros(1, 3, 8, 7, device="meta")).shape == (1, 4, 4, 4)


Array = npt.NDArray[np.float32]


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def by_hand(x: Array, kernel: Array, stride: int) -> Array:
    """A convolution of [H, W, C], padding SAME, by its definition in TensorFlow's documentation."""
    high, wide, _, count = kernel.shape
    rows, cols = x.shape[:2]
    out_rows, out_cols = -(-rows // stride), -(-cols // stride)
    down = max((out_rows - 1) * stride + high - rows, 0)
    right = max((out_cols - 1) * stride + wide - cols, 0)
    x = np.pad(x, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))
    out = np.zeros((out_rows, out_cols, count), np.float32)
    for row in range(out_rows):
        for col in range(out_cols):
            part = x[row * stride : row * stride + high, col * stride : col * stride + wide]
            out[row, col] = np.tensordot(part, kernel, 3)
    return out


def convolved(layer: SameConv2d, x: Array) -> Array:
    """[H, W, C] -> [h, w, D]."""
    with torch.inference_mode():
        out = layer(torch.from_numpy(x).permute(2, 0, 1)[None])
    return np.asarray(out[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("fused", [False, True])
@settings(max_examples=40, deadline=None)
@given(
    st.integers(5, 12), st.integers(5, 12),
    st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)]),
)  # fmt: skip
def test_convolution_pads_as_tensorflow_does(
    fused: bool, rows: int, cols: int, shape: tuple[int, int]
) -> None:
    size, stride = shape
    x, kernel = random(rows, cols, 3), random(size, size, 3, 4, seed=1)
    layer = SameConv2d(3, 4, size, stride, bias=False)
    layer._fused = fused and layer._fused
    layer.weight.data = torch.from_numpy(kernel).permute(3, 2, 0, 1)
    assert np.allclose(convolved(layer, x), by_hand(x, kernel, stride), atol=1e-4)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_depthwise_keeps_channels_apart(size: int, stride: int) -> None:
    x, kernel = random(8, 9, 3), random(size, size, 3, 1, seed=1)
    layer = SameConv2d(3, 3, size, stride, groups=3, bias=False)
    layer.weight.data = torch.from_numpy(kernel).permute(2, 3, 0, 1)
    got = convolved(layer, x)
    for channel in range(3):
        alone = by_hand(x[..., [channel]], kernel[:, :, [channel]], stride)
        assert np.allclose(got[..., [channel]], alone, atol=1e-4)


@fusing
@pytest.mark.parametrize("after", AFTER)
def test_what_follows_is_the_same_inside_and_outside(after: After) -> None:
    torch.manual_seed(0)
    layer, x = SameConv2d(3, 8, 3, after=after), 9 * torch.randn(1, 3, 7, 6)
    with torch.inference_mode():
        inside = layer(x)
        layer._fused = False
        assert torch.allclose(layer(x), inside, atol=1e-4)
    assert after == "none" or float(inside.min()) >= -0.5
