"""Addresses of cameras: what is refused, and what is never told."""

import pytest

from devices.video.address import public_name
from stream.errors import ConfigError


@pytest.mark.parametrize(
    "url,name",
    [
        ("rtsp://cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://admin:hush@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:hu%23sh%2F%40@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:hu@sh@cam/live", "rtsp://cam/live"),
        ("rtsp://admin:hush@[fe80::1]:554/live", "rtsp://[fe80::1]:554/live"),
        ("rtsp://cam/live?user=admin&password=hush", "rtsp://cam/live"),
        ("rtsp://cam/user=admin_password=hush_channel=1.sdp", "rtsp://cam/..."),
        ("srt://box:9000?mode=caller&passphrase=hush", "srt://box:9000"),
        ("tcp://127.0.0.1:9", "tcp://127.0.0.1:9"),
    ],
)
def test_the_name_tells_no_secret(url: str, name: str) -> None:
    assert public_name(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:hu#sh@cam/live",
        "rtsp://admin:hu/sh@cam/live",
        "rtsp://admin:12/hush@cam/live",
        "rtsp://admin:hu?sh@cam/live",
        "rtsp://cam/live#",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="write # .* as %23") as caught:
        public_name(url)
    assert "hu" not in str(caught.value) and "admin" not in str(caught.value)
