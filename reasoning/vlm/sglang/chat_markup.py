"""A conversation as the text that a model reads: SGLang's sessions take text, not messages.

The markup is ChatML, which the chat templates of Qwen-VL and InternVL write; a picture's token is
the one that SGLang puts the picture's own in place of (its test/registered/sessions:
test_session_mrope.py for Qwen2.5-VL, test_session_control.py for InternVL).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from stream.errors import ConfigError

BEGIN, CLOSE = "<|im_start|>", "<|im_end|>"
QWEN = "<|vision_start|><|image_pad|><|vision_end|>"
PICTURES = {  # family of models (reasoning/vlm/coordinates.py) -> the token of a picture
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "qwen3_vl": QWEN,
    "internvl": "<IMG_CONTEXT>",
}
# What only this module may write: whoever else did would end a turn, or speak of no picture.
_OURS = re.compile(
    r"<\|(?:im_start|im_end|endoftext|vision_start|vision_end|vision_pad|image_pad|video_pad)\|>"
    r"|</?(?:IMG_CONTEXT|img)>"
)


def picture_token(family: str) -> str:
    """What stands for a picture; raises ConfigError for a family whose markup is not known."""
    if family not in PICTURES:
        raise ConfigError(
            f"expected a model of the families {', '.join(PICTURES)} for reasoning.chat."
            f"video_session (or chat.grounding, which names the family), got {family}"
        )
    return PICTURES[family]


def opened(told: str) -> str:
    """The beginning of a session: the system's words, then the user's turn, which stays open."""
    return f"{BEGIN}system\n{_plain(told)}{CLOSE}\n{BEGIN}user\n"


def asked(messages: Sequence[Mapping[str, Any]], picture: str) -> tuple[str, list[str]]:
    """The rest of a conversation, whose first turn goes on with the user's that is open.

    `messages` in the API's form without the system's; a last one of the assistant is left open for
    it to go on. Returns the text and the pictures in it (data URLs), in order.
    """
    texts, pictures = [], []
    for message in messages:
        text, shown = _content(message["content"], picture)
        texts.append(f"{BEGIN}{message['role']}\n{text}")
        pictures += shown
    texts[0] = texts[0].removeprefix(f"{BEGIN}user\n")
    if messages[-1]["role"] != "assistant":
        texts.append(f"{BEGIN}assistant\n")
    return f"{CLOSE}\n".join(texts), pictures


def _content(content: str | Sequence[Mapping[str, Any]], picture: str) -> tuple[str, list[str]]:
    if isinstance(content, str):
        return _plain(content), []
    shown = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    words = [picture if part["type"] == "image_url" else _plain(part["text"]) for part in content]
    return "".join(words), shown


def _plain(text: str) -> str:
    return _OURS.sub("", text)
