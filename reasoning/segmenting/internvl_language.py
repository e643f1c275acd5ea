"""InternVL's way of reading a picture, and a region of it, as Sa2VA was trained.

A picture becomes up to 12 tiles and the whole at a tile's size, each a square of tokens between
`<img>` and `</img>`. A region that is pointed at is told by tokens as well: those of the whole
picture that lie on it come once more between `<vp>` and `</vp>` (arXiv 2501.04001, section 3).
"""

import json
from collections.abc import Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Pillow
from torch import Tensor

from reasoning.vlm.hf import ProcessorModel
from reasoning.vlm.local.network import Reading
from stream.errors import AssetError
from stream.frame import Image, Mask

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TILES = 12  # at most, beside the whole picture
PICTURE, CONTEXT, END_PICTURE = "<img>", "<IMG_CONTEXT>", "</img>"
REGION, END_REGION = "<vp>", "</vp>"
TURN = "<|im_start|>{role}\n{content}<|im_end|>\n"  # ChatML, as all of them have it
ANSWER = "<|im_start|>assistant\n"


class InternVlLanguage(ProcessorModel):
    """A VisionLanguage over `InternVLForConditionalGeneration`."""

    def __init__(self, model: Any, tokenizer: Any, tiles: int = TILES) -> None:
        """Raises AssetError when the vocabulary lacks what marks pictures and regions."""
        from transformers import GotOcr2ImageProcessor

        side = int(model.config.vision_config.image_size[0])
        eyes = GotOcr2ImageProcessor(
            size={"height": side, "width": side},
            image_mean=MEAN,
            image_std=STD,
            crop_to_patches=True,
            min_patches=1,
            max_patches=tiles,
        )
        super().__init__(model, _Parts(tokenizer))
        self._eyes = eyes
        known = tokenizer.get_vocab()
        absent = [t for t in (PICTURE, CONTEXT, END_PICTURE, REGION, END_REGION) if t not in known]
        if absent:
            raise AssetError(f"expected {', '.join(absent)} in the vocabulary of an InternVL")
        self._context = known[CONTEXT]

    def begin(
        self, image: Image, messages: Sequence[Mapping[str, str]], pointed: Mask | None = None
    ) -> Reading:
        """See SegLanguage."""
        with torch.inference_mode():
            seen = self._see(image)
            own = torch.zeros(0, dtype=torch.long)
            if pointed is not None:
                own = _cells(pointed, isqrt(seen.shape[1]))
            text = _conversation(messages, _told(seen.shape[0] * seen.shape[1], len(own)))
            ids = self.tokenizer(text, return_tensors="pt").input_ids.to(self.device)
            embedded = self._model.get_input_embeddings()(ids).clone()
            visual = torch.cat([seen.flatten(0, 1), seen[-1][own.to(seen.device)]])
            embedded[ids == self._context] = visual.to(embedded.dtype)
            return self._network.read({"inputs_embeds": embedded})

    def _see(self, image: Image) -> Tensor:
        """[T, n, D] tokens of the tiles, the whole picture last."""
        tiles = self._eyes(images=[Pillow.fromarray(image)], return_tensors="pt").pixel_values
        found: Tensor = self._model.get_image_features(tiles.to(self.device)).pooler_output
        return found


class _Parts:
    """A processor that is a tokenizer alone."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint without its code; raises AssetError when it has no other.

    Where the settings name code (InternLM2's), tokenizer.json is read as it is.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    kind = PreTrainedTokenizerFast if _is_code(folder) else AutoTokenizer
    try:
        found = kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise AssetError(
            f"expected a tokenizer in {folder} (tokenizer.json, or vocab.json and merges.txt): "
            f"{' '.join(str(error).split())[:200]}. InternLM2's own is code that is not run: put "
            "the tokenizer.json of the converted model (OpenGVLab/InternVL2_5-…-MPO-hf) beside "
            "the weights; tokens that added_tokens.json or tokenizer_config.json name are added"
        ) from error
    named = _told_in(folder / "added_tokens.json").items()
    moved = [token for token, number in named if found.convert_tokens_to_ids(token) != number]
    if moved:
        raise AssetError(
            f"expected the tokens of added_tokens.json at their numbers, {len(moved)} have others "
            f"({', '.join(moved[:3])}): tokenizer.json in {folder} is of another model"
        )
    return found


def _is_code(folder: Path) -> bool:
    """Whether the settings of a tokenizer name a class of the repository's own."""
    return "AutoTokenizer" in (_told_in(folder / "tokenizer_config.json").get("auto_map") or ())


def _told_in(path: Path) -> dict[str, Any]:
    """An object in JSON; empty where there is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _told(seen: int, own: int) -> str:
    """What stands for the picture and for the region that is pointed at."""
    picture = f"{PICTURE}{CONTEXT * seen}{END_PICTURE}"
    if not own:
        return picture
    region = f"region1{REGION}{CONTEXT * own}{END_REGION}"
    return f"{picture}\nThere are 1 part regions in the picture: {region}.\n"


def _conversation(messages: Sequence[Mapping[str, str]], picture: str) -> str:
    """ChatML, the picture before the words of the last message."""
    turns = [TURN.format(role=m["role"], content=m["content"]) for m in messages[:-1]]
    last = messages[-1]
    turns.append(TURN.format(role=last["role"], content=f"{picture}\n{last['content']}"))
    return "".join(turns) + ANSWER


def _cells(mask: Mask, side: int) -> Tensor:
    """[k] tokens of a side * side square that a [H, W] mask covers, at least the one amid it."""
    given = torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None]
    cells = F.interpolate(given, (side, side), mode="nearest")[0, 0].flatten().nonzero()[:, 0]
    if len(cells) or not mask.any():
        return cells
    rows, columns = np.nonzero(mask)
    row = int(rows.mean() / mask.shape[0] * side)
    column = int(columns.mean() / mask.shape[1] * side)
    return torch.tensor([row * side + column])
