"""`foveal serve` as a service: what its log holds, and what its process list shows."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "foveal.cli", "serve", "--host", "0.0.0.0", "--port", "0"]


def start(tmp_path: Path, *options: str, **variables: str) -> str:
    """What it says until it loads its models, in both streams."""
    environment = {**os.environ, "FOVEAL_CACHE": str(tmp_path), **variables}
    with subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "loading" in line:
                break
        process.send_signal(signal.SIGKILL)
    return "".join(said)


def test_no_token_is_in_its_log_and_plain_http_is_told_loudly(tmp_path: Path) -> None:
    said = start(tmp_path)
    token = (tmp_path / "serve" / "token").read_text().strip()
    assert str(tmp_path / "serve" / "token") in said
    assert len(token) >= 24 and token not in said and "#token" not in said
    assert "WITHOUT TLS" in said
    assert re.search(r"Foveal listens on http://localhost:\d+/\n", said)


@pytest.mark.parametrize("option", ["--self-signed"])
def test_over_tls_nothing_is_warned_of(tmp_path: Path, option: str) -> None:
    said = start(tmp_path, option, FOVEAL_TOKEN="0123456789abcdef")
    assert "WARNING" not in said and "0123456789abcdef" not in said
    assert not (tmp_path / "serve").exists()
