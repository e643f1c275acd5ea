"""Weights by which a token follows from the last one: random models that say what a test needs.

What layers add to a token is taken away, and the output layer maps the token's own state to the
logits. Pictures, the cache, the grammar and the mask decoder are the real ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SPOKEN = ("I see ", "a cat", "<search>", "<region>", "</search>", " It is a cat.")
LOOK_UP: Mapping[str, Sequence[str]] = {  # see the cat, look its region up, tell, end
    "\n": ["I see "],
    "I see ": ["<p>"],
    "<p>": ["a cat"],
    "a cat": ["</p>"],
    "</p>": ["[SEG]"],
    "[SEG]": ["<search>"],
    "<search>": ["<region>"],
    "<region>": ["</search>"],
    ">": [" It is a cat."],
    " It is a cat.": ["<|im_end|>"],
}


def vocabulary(tokenizer: Any) -> dict[str, int]:
    """The numbers of the tokens of LOOK_UP."""
    words = {*LOOK_UP, *(word for following in LOOK_UP.values() for word in following)}
    return {word: int(tokenizer(word).input_ids[0]) for word in words}


def follow(weights: dict[str, Tensor], ids: Mapping[str, int], table: str, head: str) -> None:
    """Change a language side's parameters in place; `table`, `head`: names of its two tables."""
    for name, value in weights.items():
        if name.endswith(("o_proj.weight", "mlp.down_proj.weight")):
            value.zero_()
        if name.endswith("norm.weight") and "layers" not in name and "language_model" in name:
            value.fill_(1.0)
    states = weights[table][[ids[word] for word in LOOK_UP]]
    states = states * (states.pow(2).mean(1, keepdim=True) + 1e-6).rsqrt()
    wanted = torch.zeros(len(LOOK_UP), len(weights[head]))
    for row, following in enumerate(LOOK_UP.values()):
        wanted[row, ids[following[0]]] = 10.0
    weights[head].copy_(torch.linalg.lstsq(states, wanted).solution.T)
