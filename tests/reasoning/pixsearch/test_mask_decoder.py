"""The mask decoder learns to tell places apart; its losses are what their formulas say."""

import numpy as np
import pytest
import torch

from perception.features.backbone import Backbone
from reasoning.pixsearch.mask_decoder import (
    MaskDecoder,
    MaskDecoderConfig,
    focal_tversky,
    mask_bce,
    read_frame,
)

SMALL = MaskDecoderConfig(dense=8, top=12, query=8, width=16, pixel=4, heads=2)


def test_focal_tversky_weighs_what_is_missed_more_than_what_is_extra() -> None:
    truth = torch.zeros(1, 4, 4)
    truth[0, :2] = 1  # eight pixels
    logits = torch.where(truth > 0, 50.0, -50.0)
    assert float(focal_tversky(logits, truth)) < 1e-3
    missed = logits.clone()
    missed[0, 0, 0] = -50.0
    extra = logits.clone()
    extra[0, 3, 3] = 50.0
    # 1 - (7 + 1) / (7 + 0.7 + 1), and 1 - (8 + 1) / (8 + 0.3 + 1), to the power 0.75
    assert float(focal_tversky(missed, truth)) == pytest.approx((1 - 8 / 8.7) ** 0.75, rel=1e-4)
    assert float(focal_tversky(extra, truth)) == pytest.approx((1 - 9 / 9.3) ** 0.75, rel=1e-4)
    none = torch.zeros(0, 4, 4)
    assert float(focal_tversky(none, none)) == 0 == float(mask_bce(none, none))


def test_a_decoder_learns_which_of_two_places_a_query_means() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(SMALL)
    dense, top = torch.randn(1, 8, 8, 8), torch.randn(1, 12, 2, 2)
    image, queries = torch.rand(1, 3, 16, 16), torch.randn(2, 8)
    truth = torch.zeros(2, 16, 16)
    truth[0, 2:8, 2:8] = 1
    truth[1, 9:15, 8:14] = 1
    optimiser = torch.optim.AdamW(decoder.parameters(), 1e-2)
    for _ in range(60):
        cells = decoder.read(dense, top, image)
        logits, presence = decoder(cells, torch.tensor([0, 0]), queries)
        loss = focal_tversky(logits, truth) + mask_bce(logits, truth) + presence.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    said = logits.detach() > 0
    for number in range(2):
        both = (said[number] & (truth[number] > 0)).sum()
        assert float(both) / float((said[number] | (truth[number] > 0)).sum()) > 0.7


def test_prompts_change_the_mask_and_frames_do_not_mix() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(SMALL).eval()
    dense, top, image = torch.randn(2, 8, 4, 6), torch.randn(2, 12, 1, 2), torch.rand(2, 3, 8, 12)
    query = torch.randn(1, 8)
    with torch.inference_mode():
        both = decoder.read(dense, top, image)
        one = decoder.read(dense[1:], top[1:], image[1:])
        plain, _ = decoder(both, torch.tensor([1]), query)
        alone, _ = decoder(one, torch.tensor([0]), query)
        prompt = torch.zeros(1, 2, 4, 6)
        prompt[0, 0, 1, 1] = 1
        shown, _ = decoder(both, torch.tensor([1]), query, prompt)
    assert plain.shape == (1, 8, 12)
    assert torch.allclose(plain, alone, atol=1e-5)
    assert not torch.allclose(plain, shown, atol=1e-4)


def test_it_reads_what_the_backbone_gives() -> None:
    backbone, decoder = Backbone.random(), MaskDecoder()
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    features = backbone.features(image, 64)
    with torch.inference_mode():
        cells = read_frame(decoder, features, image)
    assert cells.cells.shape[-2:] == features.dense.shape[-2:]
    assert cells.pixels.shape[-2:] == tuple(2 * side for side in features.dense.shape[-2:])
    assert torch.allclose(cells.words.norm(dim=1), torch.ones(1), atol=1e-4)
