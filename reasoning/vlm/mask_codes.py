"""Masks as words: `<|mt_start|><|mt_0123|><|mt_0456|><|mt_end|>` (SAMTok, arXiv 2601.16093).

Every number is a code of the mask tokenizer (reasoning/segmenting/mask_tokenizer.py). To a model
they are tokens like others, so masks go in and come out as text, in this process and on servers.
"""

import re
from collections.abc import Sequence

START, END = "<|mt_start|>", "<|mt_end|>"
MOST = 8  # codes that are read of one mask; published tokenizers have two
_CODE = re.compile(r"<\|mt_(\d{4})\|>")


def spell(codes: Sequence[int]) -> str:
    """The codes of a mask as a model reads them."""
    return START + "".join(f"<|mt_{code:04d}|>" for code in codes) + END


def read(text: str) -> tuple[int, ...]:
    """The codes in a text, in order."""
    return tuple(int(code) for code in _CODE.findall(text))
