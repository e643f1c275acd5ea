"""Masks as words: `<|mt_start|><|mt_0123|><|mt_0456|><|mt_end|>` (SAMTok, arXiv 2601.16093).

Every number is a code of the mask tokenizer (reasoning/segmenting/mask_tokenizer.py). To a model
they are tokens like others, so masks go in and come out as text, in this process and on servers.
"""

import re
from collections.abc import Sequence

TOKENIZER = "mask_tokenizer_256x2.pth"  # beside the published models
START, END = "<|mt_start|>", "<|mt_end|>"
MOST = 8  # codes that are read of one mask; published tokenizers have two
HIGHEST = 1024  # codes that a vocabulary may have; published ones have 512
REF, END_REF = "<|object_ref_start|>", "<|object_ref_end|>"  # around the words before a mask
_CODE = re.compile(r"<\|mt_(\d{4})\|>")


def _token(code: int) -> str:
    return f"<|mt_{code:04d}|>"


def spell(codes: Sequence[int]) -> str:
    """The codes of a mask as a model reads them."""
    return START + "".join(map(_token, codes)) + END


def read(text: str) -> tuple[int, ...]:
    """The codes in a text, in order."""
    return tuple(int(code) for code in _CODE.findall(text))


TOKENS = "".join((REF, END_REF, START, END, *map(_token, range(HIGHEST))))
