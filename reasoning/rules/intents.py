"""What a question asks for: a small classifier on top of the language model's own state.

The model's hidden state after reading "Question: … To answer this, one needs to", the sentence
embedding, word patterns and whether the question points ("this", "it") are weighed by ridge
regression; its weights are fitted by `foveal train intents` from reasoning/rules/intents.yaml.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reasoning.verification.rerank import SentenceEncoder
from reasoning.vlm.causal_lm import CausalLm
from stream.errors import AssetError, ConfigError

Intent = Literal[
    "identify", "describe", "locate", "read", "present", "count", "look", "state", "thing_fact",
    "fact", "personal", "talk",
]  # fmt: skip
INTENTS: tuple[Intent, ...] = get_args(Intent)
Vectors = npt.NDArray[np.float32]

DATA = Path(__file__).parent / "intents.yaml"
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "intents.safetensors"
LAYER = 20  # of the language model's 30
PROBE = "Question: {question}\nTo answer this, one needs to"
BATCH = 16
RIDGE = 0.5
POINTING_WEIGHT = 0.55  # chosen leave-one-out, like LAYER
SHARPNESS = 4.0  # regression outputs -> probabilities
MAX_CHARS = 400  # of a question; what it asks for shows in its first words

POINTING = re.compile(r"\b(this|that|these|those|it|its|here)\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True, slots=True, eq=False)
class IntentWeights:
    """What is fitted."""

    patterns: tuple[str, ...]  # [P] word patterns known
    matrix: Vectors  # [P + E + H + 1, len(INTENTS)]
    centre: Vectors  # [H] mean of the language model's states


class IntentClassifier:
    """Scores what a question asks for."""

    def __init__(self, lm: CausalLm, encoder: SentenceEncoder, weights: IntentWeights) -> None:
        self._lm, self._encoder, self._weights = lm, encoder, weights
        self._index = {pattern: n for n, pattern in enumerate(weights.patterns)}

    def scores(self, question: str) -> Mapping[Intent, float]:
        """Probability of each intent; they sum to 1."""
        question = question[:MAX_CHARS]
        state = self._lm.hidden([PROBE.format(question=question)], LAYER)[0].numpy()
        row = _row(
            question,
            self._encoder.encode_text([question])[0],
            state - self._weights.centre,
            self._index,
        )
        raw = SHARPNESS * (row @ self._weights.matrix)
        odds = np.exp(raw - raw.max())
        return {name: float(p) for name, p in zip(INTENTS, odds / odds.sum(), strict=True)}


def read_examples(path: Path = DATA) -> list[tuple[str, Intent]]:
    """(question, intent) pairs of the YAML file; raises ConfigError when it is no such file."""
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        examples = [(str(text), intent) for intent in INTENTS for text in table[intent]]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"expected a YAML list of questions for each of {', '.join(INTENTS)} in {path}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    return examples


def fit(
    examples: Sequence[tuple[str, Intent]], lm: CausalLm, encoder: SentenceEncoder
) -> tuple[IntentWeights, float]:
    """Closed-form ridge regression; returns the weights and leave-one-out accuracy (0..1)."""
    texts = [text for text, _ in examples]
    probes = [PROBE.format(question=text) for text in texts]
    states = np.concatenate(
        [lm.hidden(probes[n : n + BATCH], LAYER).numpy() for n in range(0, len(probes), BATCH)]
    )
    centre = states.mean(0)
    vectors = encoder.encode_text(texts)
    patterns = tuple(sorted({pattern for text in texts for pattern in _patterns(text)}))
    index = {pattern: n for n, pattern in enumerate(patterns)}
    rows = np.stack(
        [
            _row(text, vector, state - centre, index)
            for text, vector, state in zip(texts, vectors, states, strict=True)
        ]
    ).astype(np.float64)
    truth = np.array([INTENTS.index(intent) for _, intent in examples])
    wanted = np.where(np.arange(len(INTENTS)) == truth[:, None], 1.0, -1 / (len(INTENTS) - 1))
    inverse = np.linalg.inv(rows @ rows.T + RIDGE * np.eye(len(rows)))
    dual = inverse @ wanted
    left_out = wanted - dual / np.diag(inverse)[:, None]
    accuracy = float((left_out.argmax(1) == truth).mean())
    matrix = (rows.T @ dual).astype(np.float32)
    return IntentWeights(patterns, matrix, centre.astype(np.float32)), accuracy


def save_weights(weights: IntentWeights, path: Path = WEIGHTS) -> None:
    """Write as safetensors; patterns as UTF-8 bytes, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = np.frombuffer("\n".join(weights.patterns).encode(), dtype=np.uint8).copy()
    save_file({"patterns": text, "matrix": weights.matrix, "centre": weights.centre}, path)


def load_weights(path: Path = WEIGHTS) -> IntentWeights:
    """Read what `save_weights` wrote; raises AssetError when it cannot be read."""
    try:
        arrays = load_file(path)
        patterns = tuple(arrays["patterns"].tobytes().decode().split("\n"))
        matrix, centre = arrays["matrix"], arrays["centre"]
        if matrix.ndim != 2 or matrix.shape[1] != len(INTENTS) or centre.ndim != 1:
            raise ValueError(f"the matrix is {matrix.shape}, the centre {centre.shape}")
        return IntentWeights(patterns, matrix, centre)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise AssetError(
            f"expected intent weights in {path}: {error}; run `foveal train intents`"
        ) from error


def _row(question: str, vector: Vectors, state: Vectors, index: Mapping[str, int]) -> Vectors:
    """[P + E + H + 1] features, each part of unit length."""
    patterns = np.zeros(len(index), np.float32)
    known = [index[pattern] for pattern in _patterns(question) if pattern in index]
    patterns[known] = 1.0
    pointing = POINTING_WEIGHT * (1.0 if POINTING.search(question) else -1.0)
    parts = (_unit(patterns), _unit(vector), _unit(state), np.array([pointing], np.float32))
    return np.concatenate(parts)


def _unit(values: Vectors) -> Vectors:
    norm = float(np.linalg.norm(values))
    return values / norm if norm > 1e-9 else values


def _patterns(text: str) -> set[str]:
    """Word n-grams, those at the start marked, and pairs with a gap."""
    words = _WORD.findall(text.lower())
    found = {" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)}
    found |= {"^" + " ".join(words[:n]) for n in (1, 2, 3)}
    found |= {f"{a}..{b}" for i, a in enumerate(words) for b in words[i + 1 : i + 6]}
    return found
