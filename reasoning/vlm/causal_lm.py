"""A causal language model that scores: how likely words are after others, and its states."""

import inspect
import threading
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from perception.torch_compat import some_layers
from stream.errors import AssetError

WEIGHTS = "model.safetensors"
BATCH = 5  # rows that are read at once
HALF_STEP = 16  # tokens


class CausalLm:
    """Reads and scores text; its tokenizer tells words from ids."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._made: Any = None if model is None else model.eval().to(device)
        self._dtype = dtype  # of the weights that are read when they are first used
        self.tokenizer = tokenizer
        self._device = device
        self._folder: Path | None = None
        self._loading = threading.Lock()
        self._tokenizing = threading.Lock()  # a fast tokenizer keeps settings of a call in itself

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "CausalLm":
        """Open a local Hugging Face folder of safetensors; raises AssetError when it cannot.

        The weights are read when they are first used, in the number type given.
        """
        transformers_logging.disable_progress_bar()  # a second's load needs none
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            with safe_open(folder / WEIGHTS, framework="pt") as file:
                file.keys()
        except (OSError, ValueError, SafetensorError) as error:
            raise _no_model(folder, error) from error
        lm = cls(None, tokenizer, device, dtype)
        lm._folder = folder
        return lm

    @property
    def _model(self) -> Any:
        with self._loading:
            if self._made is None and self._folder is not None:
                self._made = _read(self._folder, self._dtype).to(self._device)
        return self._made

    def ready(self) -> "CausalLm":
        """Have the weights in memory before the first question."""
        assert self._model is not None
        return self

    @property
    def model(self) -> Any:
        """The network itself, for those who build on it."""
        return self._model

    @property
    def _step(self) -> int:
        """Lengths are padded to multiples of it: oneDNN, which multiplies half precision, keeps a
        program and packed weights for every shape it meets."""
        return 1 if self._model.dtype == torch.float32 else HALF_STEP

    @property
    def vocabulary(self) -> int:
        """Ids of the tokenizer; special tokens of this project follow."""
        return len(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text; no special token is read out of it."""
        with self._tokenizing:
            ids: list[int] = self.tokenizer(
                text, add_special_tokens=False, split_special_tokens=True
            ).input_ids
        return ids

    def pieces(self, text: str) -> list[tuple[int, str]]:
        """Token ids with the text each adds; the texts join to `text`.

        Characters that the vocabulary lacks come with a token beside them, or as an unknown one.
        """
        with self._tokenizing:
            coded = self.tokenizer(
                text,
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
            )
        if text and not coded.input_ids:
            return [(self.tokenizer.unk_token_id or 0, text)]
        starts = [start for start, _ in coded.offset_mapping]
        starts = [0, *starts[1:], len(text)]
        # One character may take several tokens; the first one carries it.
        starts = list(accumulate(starts, max))
        return [(token, text[starts[n] : starts[n + 1]]) for n, token in enumerate(coded.input_ids)]

    def likelihood(self, prefixes: Sequence[str], continuation: str) -> list[float]:
        """Mean log-probability of one continuation after each prefix.

        In batches of like lengths: padding all to the longest took half as long again.
        """
        tail = self.encode(continuation)
        rows = [self.encode(prefix) for prefix in prefixes]
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        found = [0.0] * len(rows)
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            scores = self._likelihood([rows[number] for number in part], tail)
            for number, score in zip(part, scores, strict=True):
                found[number] = score
        return found

    def _likelihood(self, rows: Sequence[list[int]], tail: list[int]) -> list[float]:
        ids, known = _padded([row + tail for row in rows], self._step)
        with torch.inference_mode():
            hidden = self._model.model(
                ids.to(self._device), attention_mask=known.to(self._device)
            ).last_hidden_state
            # Only the continuation's places go through the large output layer.
            places = torch.tensor(
                [[len(row) - 1 + n for n in range(len(tail))] for row in rows]
            ).to(self._device)
            taken = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
            steps = self._model.lm_head(taken).float().log_softmax(-1)
            chosen = torch.tensor(tail, device=self._device)[None, :, None]
            return [float(v) for v in steps.gather(2, chosen.expand(len(rows), -1, 1)).mean((1, 2))]

    def hidden(self, texts: Sequence[str], layer: int) -> torch.Tensor:
        """[N, D] float32 state of each text's last token after a layer, in one batch."""
        rows = [self.encode(text) for text in texts]
        ids, known = _padded(rows, self._step)
        with torch.inference_mode():
            out = some_layers(self._model.model, 0, layer)(
                ids.to(self._device), attention_mask=known.to(self._device)
            ).last_hidden_state
            last = torch.tensor([len(row) - 1 for row in rows])
            state: torch.Tensor = out.cpu()[torch.arange(len(rows)), last]
            return state.float()


def cache_name(model: Any) -> str:
    """What this transformers calls a cache that is handed in; the longer name is the former one."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _read(folder: Path, dtype: torch.dtype) -> Any:
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise _no_model(folder, error) from error
    return model.eval()


def _no_model(folder: Path, error: Exception) -> AssetError:
    return AssetError(f"expected a language model in {folder}: {error}; run `foveal models pull`")


def _padded(rows: Sequence[Sequence[int]], step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ids -> [N, longest] ids and mask, padded on the right to a multiple of `step`."""
    longest = -(-max(len(row) for row in rows) // step) * step
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    known = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(list(row))
        known[number, : len(row)] = 1
    return ids, known
