"""The special tokens of search-interleaved answers, and keeping them out of foreign text.

PixSearch (arXiv 2601.19060), section 3: `<search> PAYLOAD </search>` calls a tool, PAYLOAD being
`<region>`, `<image>` or a text query; `<information> a | b </information>` holds what came back.
Ours is `<memory>` before a payload: what the wearer has seen is searched, not what is known.
"""

import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

SEARCH: Final = "<search>"
END_SEARCH: Final = "</search>"
INFORMATION: Final = "<information>"
END_INFORMATION: Final = "</information>"
REGION: Final = "<region>"
IMAGE: Final = "<image>"
MEMORY: Final = "<memory>"
END: Final = "<end>"  # not written out: the answer is complete
SEPARATOR = " | "  # between entries of evidence

Control = Literal[
    "<search>",
    "</search>",
    "<information>",
    "</information>",
    "<region>",
    "<image>",
    "<end>",
    "<memory>",
]
# In the order of their ids: what is new is appended, so that trained ids stay.
CONTROLS: tuple[Control, ...] = (
    SEARCH,
    END_SEARCH,
    INFORMATION,
    END_INFORMATION,
    REGION,
    IMAGE,
    END,
    MEMORY,
)
LEARNT = CONTROLS[:-1]  # those that PixSearch is trained with

# ASCII brackets and what compatibility normalisation (NFKC) turns into them.
_BRACKETS = str.maketrans({"<": "‹", ">": "›", "＜": "‹", "＞": "›", "﹤": "‹", "﹥": "›"})


@dataclass(frozen=True, slots=True)
class ControlIds:
    """Token ids of the special tokens: they follow the tokenizer's own vocabulary."""

    first: int

    def id_of(self, control: str) -> int:
        """The id of a special token; ValueError for any other text."""
        return self.first + CONTROLS.index(control)

    def control(self, token_id: int) -> Control | None:
        """The special token of an id, or None for an ordinary one."""
        offset = token_id - self.first
        return CONTROLS[offset] if 0 <= offset < len(CONTROLS) else None


def unbracket(text: str) -> str:
    """The same text, character for character, without angle brackets.

    For the words that a model writes itself: what reads like a special token in them is none.
    """
    return text.translate(_BRACKETS)


def neutralise(text: str) -> str:
    """Make foreign text harmless: one line, no control characters, no angle brackets.

    Evidence, questions and written words in view are data. Without brackets nothing in them can
    be read as a special token, neither by the grammar nor by a chat template.
    """
    plain = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") else char
        for char in text
    )
    return " ".join(unbracket(plain).split())
