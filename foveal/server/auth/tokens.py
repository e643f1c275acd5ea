"""Tokens of a server, by their hash, in a file that only its owner may read."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devices.http.admission import Grant, hash_token
from foveal.server.auth.scopes import SCOPES
from stream.clock import NS_PER_S
from stream.errors import ConfigError
from stream.writing import writing

TOKEN_BYTES = 24
NAME_CHARS = 64
DAY_NS = 86_400 * NS_PER_S


@dataclass(slots=True)
class TokenFile:
    """The file; it is read again when it has changed, so a running server follows it."""

    path: Path
    _stamp: tuple[int, int] | None = None
    _grants: tuple[Grant, ...] = ()

    def grants(self) -> tuple[Grant, ...]:
        """All tokens; none when there is no file. Raises ConfigError when it cannot be read."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._grants = None, ()
            return ()
        stamp = stat.st_mtime_ns, stat.st_size
        if stamp != self._stamp:
            self._grants, self._stamp = tuple(self._read()), stamp
        return self._grants

    def add(self, name: str, scopes: Iterable[str], expires_ns: int | None) -> str:
        """Make a token and keep its hash; the token itself is returned, and nowhere else.

        Raises ConfigError for a name in use or an unknown scope.
        """
        wanted = frozenset(scopes)
        if not 0 < len(name) <= NAME_CHARS or not name.isprintable():
            raise ConfigError(f"expected a name of 1 to {NAME_CHARS} characters, got {name!r}")
        if not wanted or wanted - SCOPES.keys():
            raise ConfigError(f"expected scopes among {', '.join(SCOPES)}, got {sorted(wanted)}")
        grants = self.grants()
        if any(grant.name == name for grant in grants):
            raise ConfigError(f"expected a new name, got {name!r}; revoke that token first")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._write([*grants, Grant(hash_token(token), wanted, expires_ns, name)])
        return token

    def revoke(self, name: str) -> None:
        """Forget a token; raises ConfigError when there is none of that name."""
        grants = self.grants()
        kept = [grant for grant in grants if grant.name != name]
        if len(kept) == len(grants):
            known = ", ".join(grant.name for grant in grants) or "none"
            raise ConfigError(f"expected the name of a token ({known}), got {name!r}")
        self._write(kept)

    def _read(self) -> Iterable[Grant]:
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))["tokens"]
            return [_grant(row) for row in rows]
        except OSError as error:
            raise ConfigError(f"expected to read {self.path}, got: {error.strerror}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"expected tokens as `foveal token add` writes them in {self.path}, got: {error}"
            ) from error

    def _write(self, grants: Iterable[Grant]) -> None:
        part = self.path.with_name(f".{self.path.name}.part")
        text = json.dumps({"version": 1, "tokens": [_row(grant) for grant in grants]}, indent=1)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            part.touch(mode=0o600)
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(self.path)
        self._stamp = None


def show_time(expires_ns: int | None) -> str:
    """Unix time as ISO 8601; "never" for None."""
    if expires_ns is None:
        return "never"
    return datetime.fromtimestamp(expires_ns / NS_PER_S, UTC).isoformat(timespec="seconds")


def _grant(row: dict[str, Any]) -> Grant:
    unknown = sorted({*row["scopes"]} - SCOPES.keys())
    if unknown:
        raise ValueError(f"scopes {unknown} of {row['name']!r}; revoke it and add it anew")
    expires = row["expires"]
    expires_ns = None
    if expires is not None:
        expires_ns = round(datetime.fromisoformat(expires).timestamp()) * NS_PER_S
    return Grant(str(row["sha256"]), frozenset(row["scopes"]), expires_ns, str(row["name"]))


def _row(grant: Grant) -> dict[str, Any]:
    return {
        "name": grant.name,
        "sha256": grant.digest,
        "scopes": sorted(grant.scopes or ()),
        "expires": None if grant.expires_ns is None else show_time(grant.expires_ns),
    }
