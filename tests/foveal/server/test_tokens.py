"""Tokens on disk: hashed, scoped, expiring, followed by a running server; and the command."""

import json
import stat
from pathlib import Path

import pytest

from devices.http.admission import Tokens
from foveal.cli import main
from foveal.server.auth.tokens import DAY_NS, TokenFile
from stream.clock import UnixClock
from stream.errors import ConfigError


def test_only_the_hash_is_kept_and_only_for_the_owner(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "deep" / "tokens.json")
    assert file.grants() == ()
    token = file.add("glasses", ["publish"], None)
    assert token not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    (grant,) = TokenFile(file.path).grants()
    assert grant.name == "glasses" and grant.scopes == frozenset({"publish"})
    found = Tokens(file.grants, UnixClock()).grant(f"Bearer {token}")
    assert found == grant


def test_a_running_server_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    server, owner = TokenFile(path), TokenFile(path)
    tokens = Tokens(server.grants, UnixClock())
    first = owner.add("one", ["view"], None)
    second = owner.add("two", ["view"], UnixClock().now_ns() + DAY_NS)
    old = owner.add("old", ["view"], UnixClock().now_ns() - DAY_NS)
    known = [tokens.grant(f"Bearer {token}") is not None for token in (first, second, old)]
    assert known == [True, True, False]
    owner.revoke("one")
    assert tokens.grant(f"Bearer {first}") is None
    path.unlink()
    assert tokens.grant(f"Bearer {second}") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tokens":[{}]}', '{"tokens":[{"sha256":"x"}]}'])
def test_a_broken_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"tokens|token"):
        TokenFile(path).grants()


def test_names_and_scopes_are_checked(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    file.add("one", ["publish"], None)
    for name, scopes in (("one", ["publish"]), ("", ["publish"]), ("two", ["fly"]), ("two", [])):
        with pytest.raises(ConfigError, match="expected"):
            file.add(name, scopes, None)
    with pytest.raises(ConfigError, match="one"):
        file.revoke("three")


def test_the_command_makes_lists_and_revokes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["token", "--file", str(tmp_path / "tokens.json")]
    assert main([*base, "add", "phone", "--days", "30"]) == 0
    token = capsys.readouterr().out.strip()
    assert len(token) >= 32
    assert main([*base, "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "phone" and row["scopes"] == ["ask", "publish", "view"]
    assert row["expires"].startswith("20")
    assert main([*base, "list"]) == 0
    assert token not in capsys.readouterr().out
    assert main([*base, "revoke", "phone"]) == 0
    assert main([*base, "revoke", "phone"]) == 1
    assert main([*base, "add", "x", "--days", "-1"]) == 1
