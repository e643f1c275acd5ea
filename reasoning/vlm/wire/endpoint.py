"""Where a chat model is served; light, because configurations are checked with it."""

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream.errors import ConfigError

SCHEME = "openai:"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a chat model is served."""

    url: str  # up to /v1
    model: str
    timeout_s: float = 120.0  # for every read
    retry_s: float = 15.0  # in all, that a busy server is waited for before the first word
    api_key_env: str = "OPENAI_API_KEY"  # the variable with the key; sent when it is set
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)  # fields of every request

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """`openai:http://host:8000/v1#model`; raises ConfigError for anything else."""
        url, _, model = text.removeprefix(SCHEME).partition("#")
        parts = urllib.parse.urlsplit(url)
        if not text.startswith(SCHEME) or parts.scheme not in ("http", "https") or not model:
            raise ConfigError(f"expected openai:URL#MODEL with an http or https URL, got {text!r}")
        return cls(url.rstrip("/"), model)
