"""Where a chat model is served; light, because configurations are checked with it."""

import urllib.parse
from dataclasses import dataclass

from stream.errors import ConfigError

SCHEME = "openai:"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a chat model is served."""

    url: str  # up to /v1
    model: str
    timeout_s: float = 120.0  # for every read

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """`openai:http://host:8000/v1#model`; raises ConfigError for anything else."""
        url, _, model = text.removeprefix(SCHEME).partition("#")
        parts = urllib.parse.urlsplit(url)
        if not text.startswith(SCHEME) or parts.scheme not in ("http", "https") or not model:
            raise ConfigError(f"expected openai:URL#MODEL with an http or https URL, got {text!r}")
        return cls(url.rstrip("/"), model)
