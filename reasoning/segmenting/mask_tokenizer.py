"""SAMTok's mask tokenizer: a mask of a picture as two numbers, and back.

Zhou et al., "SAMTok: Representing Any Mask with Two Words", arXiv 2601.16093; read from the
published `projects/samtok/models/sam2.py` (`VQ_SAM2`) of bytedance/Sa2VA. It is SAM 2.1 with one
more part: a second two-way transformer, in which a learned token looks at the picture together with
a mask and its box. What becomes of the token is quantised twice, each time by the nearest vector of
a book, the second time what the first left over. The sum of both vectors prompts SAM 2's mask
decoder as Sa2VA's words do.
"""

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from perception.device import Device
from perception.sam2.convert import convert, fill, rename, require_whole
from perception.sam2.types import FrameFeatures
from reasoning.segmenting.checkpoint import Weights, part
from reasoning.segmenting.sam2_masks import Sam2WordMasks, is_mixed
from stream.errors import AssetError, PromptError
from stream.frame import Mask

SAM2, ENCODER, BOOKS = "model.sam2_model.", "sam_mask_encoder.", "quantizer.codebooks."
THRESHOLD = 0.5  # of logits, as the published code has it
TRAINING = ("cluster_size_ema", "embed_ema")  # of a book, running means
FLOAT = Device("cpu", torch.float32)
LEFT, RIGHT = 2, 3  # labels of a box's corners


class MaskTokenizer(Sam2WordMasks):
    """Masks to codes and back, on one picture's features."""

    def __init__(
        self, model: Any, encoder: "MaskEncoder", books: Sequence[Tensor], mixed: bool = False
    ) -> None:
        """`books`: [K, C] vectors of each depth, over a `Sam2VideoModel`."""
        super().__init__(model, THRESHOLD, mixed)
        self._encoder = encoder
        self._books = [book.to(self.device, self.dtype) for book in books]

    @property
    def depth(self) -> int:
        """How many codes a mask has."""
        return len(self._books)

    @property
    def size(self) -> int:
        """How many codes there are at each depth."""
        return len(self._books[0])

    def decode(
        self, features: FrameFeatures, codes: Sequence[int], size: tuple[int, int]
    ) -> Mask | None:
        """Codes as they are written, depth * `size` + code -> the mask of a (height, width) frame.

        As published, a code behind the first that is none of its depth is left out, and so is what
        is too many. None when the first is none.
        """
        chosen = [code - depth * self.size for depth, code in enumerate(codes[: self.depth])]
        good = [0 <= code < self.size for code in chosen]
        if not good or not good[0]:
            return None
        vectors = [
            book[code]
            for book, code, known in zip(self._books, chosen, good, strict=False)
            if known
        ]
        return self.mask(features, torch.stack(vectors).sum(0)[None], size)

    def encode(self, features: FrameFeatures, mask: Mask) -> tuple[int, ...]:
        """A [H, W] mask -> its codes as they are written; raises PromptError for an empty one."""
        with torch.inference_mode():
            rest = self.embed(features, mask)
            codes: list[int] = []
            for depth, book in enumerate(self._books):
                nearest = int(torch.cdist(rest[None], book)[0].argmin())
                rest = rest - book[nearest]
                codes.append(depth * self.size + nearest)
        return tuple(codes)

    def embed(self, features: FrameFeatures, mask: Mask) -> Tensor:
        """[C] what the encoder makes of a [H, W] mask before it is quantised."""
        if not mask.any():
            raise PromptError("expected a mask with at least one pixel, got an empty one")
        prompts = self._model.prompt_encoder
        points = _corners(mask).to(self.device, self.dtype) * self._networks.image_size
        labels = torch.tensor([[[LEFT, RIGHT]]], dtype=torch.int32, device=self.device)
        given = torch.from_numpy(np.ascontiguousarray(mask))[None, None]
        small = F.interpolate(
            given.to(self.device, self.dtype),
            prompts.mask_input_size,
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        sparse, dense = prompts(points, labels, None, small)
        places = self._model.get_image_wide_positional_embeddings()
        found: Tensor = self._encoder(self._networks.alone(features) + dense, places, sparse)
        return found


class MaskEncoder(torch.nn.Module):
    """A learned token and prompts look at a picture: [C] what becomes of the token."""

    def __init__(self, config: Any, weights: Weights) -> None:
        """`config`: of SAM 2's mask decoder, whose transformer it has; AssetError if unfit."""
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoTwoWayTransformer

        super().__init__()
        token = weights.get("mask_tokens.weight")
        if token is None or token.shape[0] != 1:
            told = "none" if token is None else f"{token.shape[0]}"
            raise AssetError(f"expected one mask token in the mask encoder, got {told}")
        self.token = torch.nn.Parameter(token[None, None])  # [1, 1, 1, C]
        self.transformer = Sam2VideoTwoWayTransformer(config)
        decoder = {
            f"sam_mask_decoder.{key}": v for key, v in weights.items() if "mask_tok" not in key
        }
        fill(self.transformer, part(rename(decoder), "mask_decoder.transformer."))

    def forward(self, picture: Tensor, places: Tensor, prompts: Tensor) -> Tensor:
        """`picture` and `places` [1, C, h, w], `prompts` [1, 1, n, C] -> [C]."""
        tokens = torch.cat([self.token, prompts], dim=2)
        seen, _ = self.transformer(tokens, picture, places, None)
        state: Tensor = seen[0, 0, 0]
        return state


def load_mask_tokenizer(
    path: Path, place: Device = FLOAT, image_size: int | None = None
) -> MaskTokenizer:
    """`mask_tokenizer_256x2.pth`, or the same as safetensors; raises AssetError when it is neither.

    `place`: of the language side (`is_mixed`). `image_size`: 1024, as trained, unless given.
    """
    weights = _read(path)
    parts = part(weights, SAM2)
    inner = {key: value for key, value in parts.items() if not key.startswith(ENCODER)}
    known = (SAM2, BOOKS)
    require_whole(str(path), [], [key for key in weights if not key.startswith(known)])
    model = convert(inner, image_size)
    encoder = MaskEncoder(model.config.mask_decoder_config, part(parts, ENCODER))
    encoder.eval().requires_grad_(False)
    books = _books(part(weights, BOOKS))
    model, encoder = model.to(place.name, torch.float32), encoder.to(place.name)
    return MaskTokenizer(model, encoder, books, is_mixed(place))


def _read(path: Path) -> Weights:
    """Tensors alone: pickled code is not run."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError) as error:
        raise _unread(path, error) from error
    except pickle.UnpicklingError as error:
        raise _unread(path, error) from error
    held = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        raise AssetError(f"expected named tensors in {path}, found another thing")
    return held


def _unread(path: Path, error: Exception) -> AssetError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return AssetError(f"expected a mask tokenizer at {path}: {reason}; fetch it again")


def _books(weights: Weights) -> list[Tensor]:
    """[K, C] vectors of each depth; the last row of a book is for padding."""
    books: dict[int, Tensor] = {}
    for key, value in weights.items():
        found = re.fullmatch(r"(\d+)\.(\w+)", key)
        if found is None or (found[2] != "weight" and found[2] not in TRAINING):
            raise AssetError(f"expected books of codes, found {BOOKS}{key}")
        if found[2] == "weight":
            books[int(found[1])] = value[:-1]
    sizes = {tuple(book.shape) for book in books.values()}
    if sorted(books) != list(range(len(books))) or len(sizes) != 1:
        raise AssetError(f"expected books of one size, numbered from 0, found {sorted(books)}")
    return [books[depth] for depth in range(len(books))]


def _corners(mask: Mask) -> Tensor:
    """[1, 1, 2, 2] outermost pixels of a mask, left and top first, as shares of the picture."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return torch.tensor(
        [
            [columns.min() / width, rows.min() / height],
            [columns.max() / width, rows.max() / height],
        ]
    )[None, None]
