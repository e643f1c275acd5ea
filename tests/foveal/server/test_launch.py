"""What is on serve's command line -> settings."""

import pytest

from foveal.server.launch import _origin
from stream.errors import ConfigError


@pytest.mark.parametrize(
    "text,origin",
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("HTTPS://App.Example.com", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://box:8080/", "http://box:8080"),
        ("*", "*"),
    ],
)
def test_an_origin_is_as_browsers_send_it(text: str, origin: str) -> None:
    assert _origin(text) == origin


@pytest.mark.parametrize("text", ["app.example.com", "https://a.example/page", "https://", ""])
def test_what_no_browser_sends_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected --origin such as"):
        _origin(text)
