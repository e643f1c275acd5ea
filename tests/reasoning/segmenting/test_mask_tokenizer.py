"""SAMTok's mask tokenizer against the `sam2` package's parts, put together as it publishes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from reasoning.segmenting.mask_tokenizer import MaskTokenizer, load_mask_tokenizer
from stream.errors import AssetError, PromptError
from stream.frame import Mask
from tests.doubles.sam2_random import randomise
from tests.reasoning.segmenting.tiny_models import picture

SIDE, CHANNELS, CODES = 128, 256, 256
SIZE = (48, 64)


class Published:
    """`VQ_SAM2` as published, on the sam2 package's modules at a small size."""

    def __init__(self, sam2: Any) -> None:
        from sam2.modeling.sam.transformer import TwoWayTransformer

        self.sam2 = sam2
        self.transformer = TwoWayTransformer(2, CHANNELS, 8, 2048).eval()
        randomise(self.transformer, 7)
        generator = torch.Generator().manual_seed(8)
        self.token = torch.randn(1, CHANNELS, generator=generator)
        self.books = [torch.randn(CODES + 1, CHANNELS, generator=generator) for _ in range(2)]

    def state_dict(self) -> dict[str, Tensor]:
        """Names as in `mask_tokenizer_256x2.pth`."""
        at = "model.sam2_model."
        found = {f"{at}{key}": value for key, value in self.sam2.state_dict().items()}
        found[f"{at}sam_mask_encoder.mask_tokens.weight"] = self.token
        for key, value in self.transformer.state_dict().items():
            found[f"{at}sam_mask_encoder.transformer.{key}"] = value
        for depth, book in enumerate(self.books):
            found[f"quantizer.codebooks.{depth}.weight"] = book
            found[f"quantizer.codebooks.{depth}.cluster_size_ema"] = torch.zeros(CODES)
            found[f"quantizer.codebooks.{depth}.embed_ema"] = book[:-1].clone()
        return found

    def _seen(self, image: Any) -> tuple[Tensor, list[Tensor]]:
        from PIL import Image as Pillow

        square = np.array(Pillow.fromarray(image).resize((SIDE, SIDE)))
        pixels = torch.from_numpy(square).permute(2, 0, 1).float() / 255
        mean = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
        std = torch.tensor((0.229, 0.224, 0.225))[:, None, None]
        out = self.sam2.forward_image(((pixels - mean) / std)[None])["backbone_fpn"]
        return out[-1] + self.sam2.no_mem_embed.reshape(1, -1, 1, 1), out[:2]

    def embed(self, image: Any, mask: Mask) -> Tensor:
        seen, _ = self._seen(image)
        rows, columns = np.nonzero(mask)
        box = torch.tensor([columns.min(), rows.min(), columns.max(), rows.max()]).float()
        corners = box.reshape(1, 2, 2) / torch.tensor([SIZE[1], SIZE[0]]) * SIDE
        encoder = self.sam2.sam_prompt_encoder
        small = F.interpolate(
            torch.from_numpy(mask).float()[None, None],
            encoder.mask_input_size,
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        points = (corners, torch.tensor([[2, 3]]))
        sparse, dense = encoder(points=points, boxes=None, masks=small)
        tokens = torch.cat([self.token[None], sparse], dim=1)
        states, _ = self.transformer(seen + dense, encoder.get_dense_pe(), tokens)
        found: Tensor = states[0, 0]
        return found

    def codes(self, embedded: Tensor) -> list[int]:
        found = []
        for depth, book in enumerate(self.books):
            number = int((embedded - book[:-1]).pow(2).sum(1).argmin())
            embedded = embedded - book[number]
            found.append(number + depth * CODES)
        return found

    def decode(self, image: Any, codes: list[int]) -> Mask:
        seen, fine = self._seen(image)
        chosen = zip(self.books, codes, range(len(codes)), strict=False)
        words = torch.stack([book[code - depth * CODES] for book, code, depth in chosen]).sum(0)
        none = (torch.zeros(1, 1, 2), -torch.ones(1, 1, dtype=torch.int32))
        sparse, dense = self.sam2.sam_prompt_encoder(points=none, boxes=None, masks=None)
        masks, quality, _, _ = self.sam2.sam_mask_decoder(
            image_embeddings=seen,
            image_pe=self.sam2.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=torch.cat([sparse, words[None, None]], dim=1),
            dense_prompt_embeddings=dense,
            multimask_output=True,
            repeat_image=False,
            high_res_features=fine,
        )
        best = masks[:, quality[0].argmax()][:, None]
        full = F.interpolate(best, SIZE, mode="bilinear")
        found: Mask = (full[0, 0] > 0.5).numpy()
        return found


@pytest.fixture(scope="module")
def published() -> Published:
    build = pytest.importorskip("sam2.build_sam", reason="the sam2 package is not installed")
    sam2 = build.build_sam2_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml",
        None,
        device="cpu",
        hydra_overrides_extra=[f"++model.image_size={SIDE}"],
    )
    randomise(sam2, 2)
    with torch.no_grad():
        tokens = sam2.forward_image(torch.randn(1, 3, SIDE, SIDE))["backbone_fpn"][-1]
        for conv in sam2.image_encoder.neck.convs:
            conv.conv.weight.div_(tokens.std())
            conv.conv.bias.div_(tokens.std())
    return Published(sam2)


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
