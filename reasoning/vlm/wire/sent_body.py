"""What a request to a chat server holds of the wearer's: its words and pictures."""

import base64
import binascii
import json
from typing import Any

from stream.outgoing import SentPicture

PICTURE = "data:image/"
WORDS = ("content", "text", "prompt")  # keys of words, in chat completions and SGLang's own API


def read_body(body: bytes) -> tuple[str, tuple[SentPicture, ...]]:
    """The words, a line each and oldest first, and every picture; none of what is no JSON."""
    words: list[str] = []
    pictures: list[SentPicture] = []

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                walk(one, name)
        elif isinstance(value, list):
            for one in value:
                walk(one, key)
        elif isinstance(value, str) and value.startswith(PICTURE):
            pictures.append(SentPicture.of(_decoded(value)))
        elif isinstance(value, str) and key in WORDS:
            words.append(value)

    try:
        walk(json.loads(body), "")
    except (ValueError, RecursionError):
        return "", ()
    return "\n".join(words), tuple(pictures)


def _decoded(url: str) -> bytes:
    """The bytes within a data URL; its own where they cannot be had."""
    coded = url.partition(",")[2]
    try:
        return base64.b64decode(coded, validate=True)
    except (ValueError, binascii.Error):
        return url.encode()
