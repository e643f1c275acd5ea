"""Text to unit vectors: MiniLM-L6-v2 over ONNX Runtime, mean pooling.

Reimers & Gurevych, "Sentence-BERT", 2019; Wang et al., "MiniLM", 2020. The pinned file keeps its
weights in int8 and computes in float32, so a text's vector does not depend on its batch mates
beyond the last bits.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from stream.errors import AssetError, QueryError

Vectors = npt.NDArray[np.float32]  # [N, D]
Progress = Callable[[int, int], None]  # texts done, texts in all

MAX_TOKENS = 256
BATCH = 8  # more rows gain nothing on a CPU (measured), fewer waste calls
ROUND_TEXTS = 512  # progress is reported and memory bounded per round


class TextEncoder(Protocol):
    """Turns texts into points of the joint space."""

    @property
    def id(self) -> str:
        """Name that changes when the vectors would."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, D] float32 of unit norm, in the order given."""


class MiniLmEncoder:
    """all-MiniLM-L6-v2: 384 dimensions, at most 256 tokens of a text are read.

    `threads` is the number of batches run side by side; each uses one core, which on two cores
    is faster than one batch on both.
    """

    id = "minilm-l6-v2-mean-256"
    dim = 384

    def __init__(
        self,
        model: Path,
        tokenizer: Path,
        threads: int = 2,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        """Load the two files; `providers` are ONNX Runtime's, in the order that is tried.

        Raises AssetError when a file is missing or is not what it should be.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Either would keep memory for every length of text that was ever met.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(
                model.read_bytes(), options, providers=list(providers)
            )
            self._tokenizer = Tokenizer.from_str(tokenizer.read_text(encoding="utf-8"))
        except Exception as error:  # both libraries raise their own bare Exception types
            raise AssetError(
                f"expected a MiniLM ONNX model in {model} and its tokenizer in {tokenizer}: "
                f"{error}; run `foveal models pull minilm-l6-v2`"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._threads = max(1, threads)

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, 384] float32 of unit norm; raises QueryError for anything that is not text."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise QueryError("expected a sequence of strings to encode, got something else")
        tokens = [entry.ids for entry in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        vectors = np.zeros((len(tokens), self.dim), np.float32)
        done = 0
        with ThreadPoolExecutor(self._threads) as pool:
            for group in _chunks(order, ROUND_TEXTS):
                batches = list(_chunks(group, BATCH))
                rows = [[tokens[index] for index in batch] for batch in batches]
                for batch, result in zip(batches, pool.map(self._run, rows), strict=True):
                    vectors[batch] = result
                done += len(group)
                if progress is not None:
                    progress(done, len(tokens))
        return vectors

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        width = max(len(row) for row in rows)
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feed = {name: value for name, value in feed.items() if name in self._inputs}
        hidden = np.asarray(self._session.run(None, feed)[0], np.float32)
        pooled = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return unit_rows(pooled.astype(np.float32))


def unit_rows(vectors: Vectors) -> Vectors:
    """Scale each row of [N, D] to unit L2 norm; rows of zeros stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def _chunks(items: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
