"""Sentence-transformers models through transformers: a network, a pooling, a length.

Reimers & Gurevych, "Sentence-BERT", EMNLP 2019. Such a folder says in modules.json what its vectors
are made by; the package itself is not needed for a transformer, a pooling and a normalisation, and
anything else is refused. Weights are read from safetensors alone and no code is run.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from retrieval.encoders.hf import BROKEN, as_rows, one_line
from retrieval.encoders.text import Progress, Vectors, unit_rows
from retrieval.encoders.weights import fingerprint
from stream.errors import AssetError, QueryError

BATCH = 16
KINDS = ("Transformer", "Pooling", "Normalize")
Pool = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # [N, T, D], [N, T] 0/1 -> [N, D]


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask[..., None].to(hidden)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-9)


def _first(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    starts = mask.argmax(dim=1)  # padding may stand on the left
    return hidden[torch.arange(len(hidden), device=hidden.device), starts]


def _last(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    places = torch.arange(mask.shape[1], device=mask.device)
    return hidden[torch.arange(len(hidden), device=hidden.device), (mask * places).argmax(dim=1)]


def _max(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden.masked_fill(mask[..., None] == 0, float("-inf")).amax(dim=1)


POOLINGS: Mapping[str, Pool] = {
    "pooling_mode_mean_tokens": _mean,
    "pooling_mode_cls_token": _first,
    "pooling_mode_lasttoken": _last,
    "pooling_mode_max_tokens": _max,
}


class SentenceTextEncoder:
    """`TextEncoder` of one folder; threads may share it."""

    def __init__(self, model: Any, tokenizer: Any, pool: Pool, length: int, name: str) -> None:
        """`length`: tokens that are read of a text; `name` tells the weights."""
        self._model, self._tokenizer, self._pool = model.eval(), tokenizer, pool
        self._length, self._lock = length, Lock()
        self.id, self.dim = f"{name}-{length}", int(model.config.hidden_size)

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for anything that is not text."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise QueryError("expected a sequence of strings to encode, got something else")
        rows = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(texts), BATCH):
            rows.append(self._read(texts[start : start + BATCH]))
            if progress is not None:
                progress(min(start + BATCH, len(texts)), len(texts))
        return unit_rows(np.concatenate(rows))

    def _read(self, texts: Sequence[str]) -> Vectors:
        with self._lock:  # a tokenizer keeps the padding of a call in itself
            tokens = self._tokenizer(
                list(texts),
                padding=True,
                truncation=True,
                max_length=self._length,
                return_tensors="pt",
            ).to(self._model.device)
        with torch.inference_mode():
            hidden = self._model(**tokens).last_hidden_state
            return as_rows(self._pool(hidden, tokens["attention_mask"]))


def open_sentence(folder: Path, name: str, device: str = "cpu") -> SentenceTextEncoder:
    """An encoder from a folder as sentence-transformers writes it; raises AssetError."""
    from transformers import AutoModel, AutoTokenizer

    home, pool, length = _read_modules(folder)
    try:
        model = AutoModel.from_pretrained(
            home, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(
            home, local_files_only=True, trust_remote_code=False
        )
    except BROKEN as error:
        raise AssetError(f"the encoder {name} cannot be loaded: {one_line(error)}") from error
    longest = int(getattr(model.config, "max_position_embeddings", length or 512))
    weights = fingerprint(home.glob("*.safetensors"))
    return SentenceTextEncoder(
        model.to(device), tokenizer, pool, min(length or longest, longest), f"{name}-{weights}"
    )


def _read_modules(folder: Path) -> tuple[Path, Pool, int | None]:
    """The transformer's folder, how tokens become a vector, and how many of them are read."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        kinds = {one["type"].rpartition(".")[2]: folder / one["path"] for one in modules}
        strange = [kind for kind in kinds if kind not in KINDS]
        if strange or "Transformer" not in kinds or "Pooling" not in kinds:
            raise ValueError(f"modules {', '.join(kinds)}; taken are {', '.join(KINDS)}")
        told = json.loads((kinds["Pooling"] / "config.json").read_text(encoding="utf-8"))
        modes = [mode for mode, on in told.items() if mode.startswith("pooling_mode") and on]
        if len(modes) != 1 or modes[0] not in POOLINGS:
            raise ValueError(f"poolings {', '.join(modes)}; one of {', '.join(POOLINGS)} is taken")
        settings = kinds["Transformer"] / "sentence_bert_config.json"
        length = None
        if settings.is_file():
            length = json.loads(settings.read_text(encoding="utf-8")).get("max_seq_length")
        return kinds["Transformer"], POOLINGS[modes[0]], None if length is None else int(length)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssetError(
            f"expected a sentence-transformers model in {folder}: {one_line(error)}"
        ) from error
