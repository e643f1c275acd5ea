"""What is on serve's command line -> settings."""

import argparse
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from foveal.cli import main
from foveal.server.launch import TOKEN_VARIABLE, _origin, given_token, keep_token, qr_code
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


def test_a_token_comes_by_file_or_environment_and_not_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert given_token(argparse.Namespace(token_file=None)) is None
    monkeypatch.setenv(TOKEN_VARIABLE, "0123456789abcdef")
    assert given_token(argparse.Namespace(token_file=None)) == "0123456789abcdef"
    file = tmp_path / "token"
    file.write_text("a secret of twenty-four\n")
    assert given_token(argparse.Namespace(token_file=file)) == "a secret of twenty-four"
    with pytest.raises(SystemExit):
        main(["serve", "--token", "on the command line"])
    assert "ambiguous option: --token" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "short", "0123456789\n0123456789", "pässwörter sind lang"])
def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ConfigError, match="token of 16 printable") as refused:
        given_token(argparse.Namespace(token_file=file))
    assert not text or text not in str(refused.value)
    with pytest.raises(ConfigError, match="expected a token in"):
        given_token(argparse.Namespace(token_file=tmp_path / "gone"))


def test_a_random_token_is_kept_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    for token in ("first", "second"):
        path = keep_token(token)
        assert path.read_text() == f"{token}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_phone_reads_the_first_address_that_is_not_this_machine_alone() -> None:
    far = "https://[2001:db8::5]:8443/#token=let-me-in"
    code = qr_code(["https://localhost:8443/", "http://127.0.0.1:1/", far, "https://10.0.0.2/"])
    assert code is not None
    halves = {" ": (0, 0), "\u2580": (255, 0), "\u2584": (0, 255), "\u2588": (255, 255)}
    rows = [[halves[cell] for cell in line] for line in code.splitlines()]
    picture = np.array(rows, np.uint8).transpose(0, 2, 1).reshape(2 * len(rows), -1)
    large = np.kron(picture, np.ones((8, 8), np.uint8))
    assert cv2.QRCodeDetector().detectAndDecode(large)[0] == far
    assert qr_code(["https://localhost:8443/"]) is None
