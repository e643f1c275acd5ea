"""What an endpoint's settings may be."""

from typing import Any

import pytest

from retrieval.web.config import WebConfig
from stream.errors import ConfigError

URL = "https://searx.example/search?q={query}&format=json"


def test_off_by_default() -> None:
    assert WebConfig().url is None
    with pytest.raises(ConfigError, match="expected a web url, got none"):
        WebConfig().address("how", 3)


def test_words_are_quoted() -> None:
    assert WebConfig(URL).address("a&b=c #d/ü", 3) == (
        "https://searx.example/search?q=a%26b%3Dc%20%23d%2F%C3%BC&format=json"
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": "searx.example?q={query}"}, "begins with https"),
        ({"url": "file:///etc/passwd?{query}"}, "begins with https"),
        ({"url": "https://searx.example/search"}, r"\{query\} in the path"),
        ({"url": "https://{query}.example/"}, r"\{query\} in the path"),
        ({"url": "https://me:pw@searx.example/?q={query}"}, "without a password"),
        ({"url": "http://searx.example/?q={query}"}, "in the clear"),
        ({"url": URL, "headers": ("X-Token",)}, "NAME: VALUE"),
        ({"url": URL, "headers": ("X Token: a",)}, "NAME: VALUE"),
        ({"url": URL, "headers": ("X-Token: a\r\nHost: b",)}, "NAME: VALUE"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        WebConfig(**settings)


def test_a_secret_that_is_not_there() -> None:
    config = WebConfig(URL, headers=("X-Token: $KEY",))
    assert config.filled({"KEY": "a"}) == {"X-Token": "a"}
    with pytest.raises(ConfigError, match="KEY of web.headers"):
        config.filled({})
