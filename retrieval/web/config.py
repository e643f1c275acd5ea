"""What an endpoint is asked, and where its answer holds what; the defaults are SearXNG's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlsplit

from stream.bounds import Share, within
from stream.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9-]+")
QUERY, COUNT = "{query}", "{k}"


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Search on the web; raises ConfigError for an address that holds no query.

    Paths are keys between dots; a number is a place in a list: "web.results", "0.title".
    """

    # https://HOST/search?q={query}&format=json, and {k} for how many; None: nothing is ever sent.
    url: str | None = None
    results: str = "results"  # path of the list of results; "" where the answer is the list
    title: str = "title"  # paths within a result
    text: str = "content"
    link: str = "url"
    date: str = "publishedDate"
    headers: tuple[str, ...] = ()  # "X-Token: $KEY", where $KEY is an environment variable
    enough: Share = 0.5  # score of local evidence, 0..1, from which the web is not asked
    timeout_s: Annotated[float, within(0.1, 60.0)] = 4.0  # for the whole request
    max_bytes: Annotated[int, within(1024, 1 << 24)] = 1 << 20  # of an answer
    allow_private: bool = False  # addresses of this machine and of local networks; http there alone

    def __post_init__(self) -> None:
        if self.url is None:
            return
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ConfigError(f"expected a web url that begins with https://, got {self.url!r}")
        if parts.username or parts.password:
            raise ConfigError("expected a web url without a password; use web.headers")
        if QUERY not in f"{parts.path}?{parts.query}" or QUERY in parts.netloc:
            raise ConfigError(f"expected {QUERY} in the path or query of the web url {self.url!r}")
        if parts.scheme == "http" and not self.allow_private:
            raise ConfigError(
                f"expected https in the web url {self.url!r}: words would be sent in the clear; "
                "http goes to local addresses alone, with web.allow_private"
            )

        for header in self.headers:
            name, colon, value = header.partition(":")
            if not (colon and _NAME.fullmatch(name) and value.strip().isprintable()):
                raise ConfigError(f"expected web.headers as NAME: VALUE, got {name!r}")

    def filled(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Headers with their secrets; raises ConfigError for a variable that is not set."""
        pairs = (header.split(":", 1) for header in self.headers)
        return {name: _secret(value.strip(), environment) for name, value in pairs}

    def address(self, words: str, k: int) -> str:
        """The url for a query."""
        if self.url is None:
            raise ConfigError("expected a web url, got none")
        return self.url.replace(QUERY, quote(words, safe="")).replace(COUNT, str(k))


def _secret(value: str, environment: Mapping[str, str]) -> str:
    if not value.startswith("$"):
        return value
    if value[1:] not in environment:
        raise ConfigError(f"expected the environment variable {value[1:]} of web.headers to be set")
    return environment[value[1:]]
