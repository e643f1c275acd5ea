"""The faster parts against the plain ones: same weights, same numbers up to rounding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from perception.sam2.attention_windows import Layout, attend, between, order, pool
from perception.sam2.edgetam import EdgeEncoder, Perceiver
from perception.sam2.image_encoder import HieraEncoder
from perception.sam2.linear import Activation, FastLinear, Rows
from perception.sam2.memory_attention import attend_rows
from perception.sam2.networks import Sam2Networks
from stream.errors import ConfigError
from tests.doubles.sam2_random import random_model, tiny_config, tiny_edgetam_config


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


def test_windows_are_slices_and_cut_windows_hold_the_picture_only() -> None:
    layout = Layout(10, 4)
    whole, cut, corner = layout.groups
    assert (whole.count, whole.tokens, whole.padding) == (4, 64, 0)
    assert (cut.count, cut.rows, cut.cols, cut.padding) == (4, 4, 2, 8)
    assert (corner.count, corner.tokens, corner.padding) == (1, 4, 12)
    picture = torch.arange(100).view(10, 10)
    tokens = order(layout)
    assert torch.equal(tokens.sort().values, picture.flatten())
    assert torch.equal(tokens[16:32].view(4, 4), picture[:4, 4:8])
    assert torch.equal(tokens[64:72].view(4, 2), picture[:4, 8:])
    assert torch.equal(tokens[88:96].view(4, 2), picture[8:, 4:8].T), "lower ones by columns"
    assert torch.equal(tokens[96:].view(2, 2), picture[8:, 8:])


@pytest.mark.parametrize(("extent", "side"), [(8, 4), (8, 8), (10, 4), (4, 8)])
def test_pooling_keeps_the_order(extent: int, side: int) -> None:
    layout = Layout(extent, side)
    picture = torch.randn(extent, extent, 3, generator=torch.Generator().manual_seed(extent))
    found = pool(picture.flatten(0, 1)[order(layout)], layout.groups, 2)
    expected = F.max_pool2d(picture.permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0).flatten(0, 1)
    assert torch.equal(found, expected[order(layout.pooled(2))])


def test_tokens_move_from_one_layout_to_another() -> None:
    old, new = Layout(8, 4), Layout(8, 3)
    moved = between(old, new)
    assert moved is not None and torch.equal(order(old)[moved], order(new))
    assert between(old, Layout(8, 4)) is None


def test_padding_that_is_all_alike_weighs_as_one_token() -> None:
    generator = torch.Generator().manual_seed(2)
    query, key, value = torch.randn(3, 2, 2, 5, 8, generator=generator)
    pad = torch.randn(2, 2, 1, 8, generator=generator)
    more = [one.expand(2, 2, 7, 8) for one in pad]
    expected = F.scaled_dot_product_attention(
        query, torch.cat([key, more[0]], 2), torch.cat([value, more[1]], 2), scale=1.0
    )
    found = attend(query, key, value, 7, (pad[0], pad[1]))
    assert torch.allclose(found, expected, atol=1e-5)
    rough = attend(query, key, value, 7, (pad[0], pad[1]), mixed=True)
    assert float((rough - expected).norm() / expected.norm()) < 0.02


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("length", [40, 700])
def test_attention_in_rows_equals_torchs(queries: int, length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    query = torch.randn(queries, 2, length, 16, generator=generator) * 0.25
    key = torch.randn(3, 2, 2 * length + 5, 16, generator=generator)
    memory = torch.randn(3, 2 * length + 5, 6, generator=generator)
    wide = memory[:, None].expand(-1, 2, -1, -1)
    expected = F.scaled_dot_product_attention(query.expand(3, -1, -1, -1), key, wide, scale=1.0)
    assert torch.allclose(attend_rows(query, key, wide), expected, atol=1e-5)
    rough = attend_rows(query, key, wide, mixed=True)
    assert rough.dtype == torch.float32
    assert float((rough - expected).norm() / expected.norm()) < 0.02


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


@pytest.mark.parametrize("fits", [True, False])
def test_edgetams_image_pass_equals_transformers(
    fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own pass, and the plain one for a backbone that is built otherwise."""
    model = random_model(tiny_edgetam_config(), seed=1)
    assert not HieraEncoder.fits(model) and EdgeEncoder.fits(model)
    monkeypatch.setattr(EdgeEncoder, "fits", lambda model: fits)
    networks = Sam2Networks(model)
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    with torch.inference_mode():
        found = networks.features(picture)
        outputs = model.get_image_features(networks.pixels(picture), return_dict=True)
    fine, middle, coarse = outputs.fpn_hidden_states
    for one, other in ((found.tokens, coarse[:, 0]), (found.fine.flatten(2)[0].T, fine[:, 0])):
        assert float((one - other).norm() / other.norm()) < 1e-4
    assert torch.allclose(found.middle.flatten(2)[0].T, middle[:, 0], atol=1e-3)


def test_edgetam_works_in_half_precision() -> None:
    networks = Sam2Networks(random_model(tiny_edgetam_config(), seed=1).to(torch.bfloat16))
    found = networks.features(np.zeros((90, 120, 3), np.uint8))
    assert found.tokens.dtype == torch.bfloat16 and bool(found.tokens.isfinite().all())


def test_the_perceiver_takes_all_objects_at_once() -> None:
    module = random_model(tiny_edgetam_config(), seed=1).spatial_perceiver
    tokens = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(4))
    code = torch.randn(1, 64, 8, 8, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        found = Perceiver(module, (8, 8), code)(tokens)
        maps = tokens.transpose(1, 2).reshape(3, 64, 8, 8)
        expected = torch.cat([module(one[None], code)[0] for one in maps])
    assert torch.allclose(found, expected, atol=1e-5)


def test_edgetam_refuses_a_size_its_perceiver_cannot_cut() -> None:
    with pytest.raises(ConfigError, match="a multiple of 64 for EdgeTAM, got 80"):
        Perceiver(
            random_model(tiny_edgetam_config()).spatial_perceiver, (5, 5), torch.zeros(1, 64, 5, 5)
        )
