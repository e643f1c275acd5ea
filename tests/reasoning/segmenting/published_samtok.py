"""SAMTok's mask tokenizer put together of the `sam2` package's parts, as it is published."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stream.frame import Mask
from tests.doubles.sam2_random import randomise

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


def build() -> Published:
    """At a small size and with random weights; skips without the sam2 package."""
    builder = pytest.importorskip("sam2.build_sam", reason="the sam2 package is not installed")
    sam2 = builder.build_sam2_video_predictor(
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
