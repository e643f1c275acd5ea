"""The faster parts against the plain ones: same weights, same numbers up to rounding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from perception.sam2_attention import attend_narrow
from perception.sam2_encoder import HieraEncoder, Layout, regroup
from perception.sam2_linear import Activation, FastLinear, Rows
from perception.sam2_model import Sam2Networks
from perception.sam2_random import random_model, tiny_config, tiny_edgetam_config


@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_a_packed_layer_equals_torch(activation: Activation, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    weight, bias = torch.randn(24, 16, generator=generator), torch.randn(24, generator=generator)
    x = torch.randn(2, rows, 16, generator=generator)
    expected = F.linear(x, weight, bias)
    expected = {"none": lambda v: v, "relu": F.relu, "gelu": F.gelu}[activation](expected)
    assert torch.allclose(FastLinear(weight, bias, activation)(x), expected, atol=1e-4)


def test_other_precisions_are_torchs_own() -> None:
    weight, bias, x = torch.randn(4, 8).bfloat16(), torch.randn(4).bfloat16(), torch.randn(3, 8)
    layer = FastLinear(weight, bias, "relu")
    assert torch.equal(layer(x.bfloat16()), F.relu(F.linear(x.bfloat16(), weight, bias)))


@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_a_mixed_layer_is_close_and_keeps_float32(activation: Activation) -> None:
    generator = torch.Generator().manual_seed(5)
    weight, bias = torch.randn(24, 64, generator=generator), torch.randn(24, generator=generator)
    x = torch.randn(50, 64, generator=generator)
    exact = FastLinear(weight, bias, activation)(x)
    found = FastLinear(weight, bias, activation, mixed=True)(x)
    assert found.dtype == torch.float32 and not torch.equal(found, exact)
    assert float((found - exact).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize("mixed", [False, True])
def test_packed_rows_equal_a_product(mixed: bool) -> None:
    generator = torch.Generator().manual_seed(6)
    rows, x = torch.randn(70, 32, generator=generator), torch.randn(9, 32, generator=generator)
    expected = x @ rows.T
    error = float((Rows(rows, mixed).after(x) - expected).norm() / expected.norm())
    assert error < (0.01 if mixed else 1e-5)


def regrouped(extent: int, window: int) -> tuple[torch.Tensor, Layout]:
    numbers = torch.arange(extent * extent * 2.0).view(1, extent * extent, 2)
    return regroup(numbers, Layout(1, extent), window)


def test_tokens_in_windows_are_the_pictures_windows() -> None:
    hidden, layout = regrouped(8, 4)
    assert layout == Layout(2, 4) and hidden.shape == (4, 16, 2)
    picture = torch.arange(128.0).view(8, 8, 2)
    assert torch.equal(hidden[1].view(4, 4, 2), picture[:4, 4:])
    back, whole = regroup(hidden, layout, 0)
    assert whole == Layout(1, 8) and torch.equal(back[0].view(8, 8, 2), picture)
    smaller, layout = regroup(hidden, layout, 2)
    assert layout == Layout(4, 2) and torch.equal(smaller[5].view(2, 2, 2), picture[2:4, 2:4])
    assert regrouped(8, 3)[1] == Layout(1, 8), "windows that do not fit are padded elsewhere"


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("length", [40, 700])
def test_narrow_attention_equals_torchs(queries: int, length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    query = torch.randn(queries, 2, length, 16, generator=generator) * 0.25
    key = torch.randn(3, 2, 2 * length + 5, 16, generator=generator)
    memory = torch.randn(3, 2 * length + 5, 6, generator=generator)
    wide = memory[:, None].expand(-1, 2, -1, -1)
    expected = F.scaled_dot_product_attention(query.expand(3, -1, -1, -1), key, wide, scale=1.0)
    assert torch.allclose(attend_narrow(query, key, memory), expected, atol=1e-5)


@pytest.mark.parametrize("size", [128, 192])
def test_the_own_image_pass_equals_transformers(size: int) -> None:
    model = random_model(tiny_config(size), seed=3)
    assert HieraEncoder.fits(model)
    networks = Sam2Networks(model)
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    with torch.inference_mode():
        found = networks.features(picture)
        outputs = model.get_image_features(networks.pixels(picture), return_dict=True)
    fine, middle, coarse = outputs.fpn_hidden_states
    assert torch.allclose(found.tokens, coarse[:, 0], atol=1e-4)
    assert torch.allclose(found.middle.flatten(2)[0].T, middle[:, 0], atol=1e-4)
    assert torch.allclose(found.fine.flatten(2)[0].T, fine[:, 0], atol=1e-4)


def test_another_backbone_goes_through_transformers() -> None:
    assert not HieraEncoder.fits(random_model(tiny_edgetam_config(), seed=1))
