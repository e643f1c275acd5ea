"""SAMTok's mask tokenizer against the `sam2` package's parts, put together as it publishes them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from reasoning.segmenting.mask_tokenizer import MaskTokenizer, load_mask_tokenizer
from stream.errors import AssetError, PromptError
from stream.frame import Mask
from tests.reasoning.segmenting.published_samtok import CODES, SIDE, SIZE, Published, build
from tests.reasoning.segmenting.tiny_models import picture


@pytest.fixture(scope="module")
def published() -> Published:
    return build()


@pytest.fixture(scope="module")
def tokenizer(published: Published, tmp_path_factory: pytest.TempPathFactory) -> MaskTokenizer:
    path = tmp_path_factory.mktemp("samtok") / "mask_tokenizer_256x2.pth"
    torch.save(published.state_dict(), path)
    return load_mask_tokenizer(path, image_size=SIDE)


def blob(seed: int) -> Mask:
    mask = np.zeros(SIZE, bool)
    x, y = np.random.default_rng(seed).integers(2, 20, 2)
    mask[y : y + 10 + seed, x : x + 30] = True
    return mask


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_codes_are_those_of_the_published_code(
    published: Published, tokenizer: MaskTokenizer, seed: int
) -> None:
    image, mask = picture(seed), blob(seed)
    features = tokenizer.features(image)
    with torch.inference_mode():
        theirs = published.embed(image, mask)
        ours = tokenizer.embed(features, mask)
    assert (ours - theirs).abs().max() < 1e-3 < theirs.std() / 100
    codes = tokenizer.encode(features, mask)
    assert list(codes) == published.codes(theirs)
    assert 0 <= codes[0] < CODES <= codes[1] < 2 * CODES
    with torch.inference_mode():
        other = tokenizer.embed(features, ~mask)
    assert (ours - other).abs().max() > 20 * (ours - theirs).abs().max()


@pytest.mark.parametrize("codes", [[3, 256 + 9], [200, 511], [77]])
def test_masks_are_those_of_the_published_code(
    published: Published, tokenizer: MaskTokenizer, codes: list[int]
) -> None:
    image = picture(4)
    mask = tokenizer.decode(tokenizer.features(image), codes, SIZE)
    with torch.inference_mode():
        theirs = published.decode(image, codes)
    assert mask is not None and (mask == theirs).mean() > 0.995 and 0 < mask.mean() < 1


def test_codes_of_no_depth_are_left_out_as_published(tokenizer: MaskTokenizer) -> None:
    features = tokenizer.features(picture())

    def same(left: list[int], right: list[int]) -> bool:
        masks = [tokenizer.decode(features, codes, SIZE) for codes in (left, right)]
        return masks[0] is not None and masks[1] is not None and bool((masks[0] == masks[1]).all())

    for odd in ([5, 9999], [5, 7], [5, 9999, 300]):
        assert same(odd, [5])
    assert same([5, 300, 400, 12], [5, 300])
    assert tokenizer.decode(features, [300, 5], SIZE) is None
    assert tokenizer.decode(features, [], SIZE) is None
    with pytest.raises(PromptError, match="an empty one"):
        tokenizer.encode(features, np.zeros(SIZE, bool))
    assert (tokenizer.depth, tokenizer.size) == (2, CODES)


def test_safetensors_are_read_too_and_what_does_not_fit_is_told(
    published: Published, tokenizer: MaskTokenizer, tmp_path: Path
) -> None:
    held = {key: value.clone().contiguous() for key, value in published.state_dict().items()}
    path = tmp_path / "mask_tokenizer_256x2.safetensors"
    save_file(held, path)
    again = load_mask_tokenizer(path, image_size=SIDE)
    features = tokenizer.features(picture())
    assert again.encode(features, blob(0)) == tokenizer.encode(features, blob(0))

    def refused(change: dict[str, Tensor], without: str, match: str) -> None:
        kept = {key: value for key, value in held.items() if without not in key}
        save_file(kept | change, path)
        with pytest.raises(AssetError, match=match):
            load_mask_tokenizer(path, image_size=SIDE)

    odd = torch.zeros(1)
    refused({"concate_mask_embeds.0.weight": odd}, "nothing", r"concate_mask_embeds\.0")
    refused({"quantizer.codebooks.0.other": odd}, "nothing", r"codebooks\.0\.other")
    refused({}, "mask_tokens.weight", "one mask token|mask_tokens")
    refused({}, "sam_mask_encoder.transformer.layers.1.mlp", r"layers\.1\.mlp")
    refused({}, "codebooks.0.", "numbered from 0")
    refused({}, "quantizer", "under 'quantizer")
    refused({}, "fuser.layers.0.gamma", r"memory_fuser\.layers\.0\.scale")


def test_half_a_file_and_code_in_one_are_refused(published: Published, tmp_path: Path) -> None:
    path = tmp_path / "mask_tokenizer_256x2.pth"
    with pytest.raises(AssetError, match="fetch it again"):
        load_mask_tokenizer(path)
    torch.save(published.state_dict(), path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(AssetError, match="fetch it again"):
        load_mask_tokenizer(path)
    torch.save({"a": Path("/tmp")}, path)
    with pytest.raises(AssetError, match="fetch it again"):
        load_mask_tokenizer(path)
    torch.save([odd := torch.zeros(1), odd], path)
    with pytest.raises(AssetError, match="named tensors"):
        load_mask_tokenizer(path)
