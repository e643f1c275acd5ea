"""npm tarballs as a source, brought by npm from a registry on this machine; hostile archives."""

import base64
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from foveal.assets.npm import fetch_tarball, npm_command, package_spec
from foveal.assets.pull import fetch_archive, pull_asset
from foveal.assets.registry import Asset, AssetFile
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
    """Serves one package to npm."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = tarball(("package/model.bin", CONTENT), ("package/package.json", b"{}"))
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def page(self) -> bytes:
        """What a registry says of a package."""
        digest = base64.b64encode(hashlib.sha512(self.body).digest()).decode()
        dist = {"tarball": self.address + "pack-1.2.3.tgz", "integrity": f"sha512-{digest}"}
        version = {"name": "@scope/pack", "version": "1.2.3", "dist": dist}
        tags = {"latest": "1.2.3"}
        page = {"name": "@scope/pack", "dist-tags": tags, "versions": {"1.2.3": version}}
        return json.dumps(page).encode()


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.endswith(".tgz"):
            body = self.server.body
        elif self.path.lower() == "/@scope%2fpack":
            body = self.server.page()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def has_npm() -> bool:
    try:
        return bool(npm_command(Path(sys.executable).parent))
    except AssetError:
        return False


needs_npm = pytest.mark.skipif(not has_npm(), reason="neither npm nor uv is on this machine")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    with Registry() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", server.address)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()


def pull(root: Path, member: str = "package/model.bin", size: int = len(CONTENT)) -> bool:
    file = AssetFile("model.bin", SOURCE, member, size, hashlib.sha256(CONTENT).hexdigest())
    asset = Asset("tiny", "a test asset", "MIT", (file,))

    return pull_asset(asset, root, fetch_archive, lambda *_: None)


def test_source_names_a_package_and_its_version() -> None:
    assert package_spec(SOURCE) == "@scope/pack@1.2.3"
    assert package_spec("npm:one@2.0.0-rc.1") == "one@2.0.0-rc.1"
    for wrong in ("pack==1", "npm:pack", "npm:../up@1", "npm:a/b@1", "npm:pack@latest"):
        with pytest.raises(AssetError, match="expected npm:NAME@VERSION"):
            package_spec(wrong)


def test_without_npm_uv_brings_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssetError, match="expected npm or uv"):
        npm_command(tmp_path)
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    assert npm_command(tmp_path)[0] == str(uv)
    assert npm_command(tmp_path)[-1] == "npm"


@needs_npm
def test_pull_takes_only_the_named_file_and_only_once(registry: Registry, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    assert pull(root)
    assert [path.name for path in root.iterdir()] == ["tiny"]
    assert [path.name for path in (root / "tiny").iterdir()] == ["model.bin"]
    assert (root / "tiny" / "model.bin").read_bytes() == CONTENT
    asked = len(registry.asked)
    assert not pull(root)
    assert len(registry.asked) == asked


@needs_npm
def test_unknown_package_and_missing_member(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="could not fetch npm:other@1.0.0"):
        fetch_tarball("npm:other@1.0.0", tmp_path)
    with pytest.raises(AssetError, match="no member package/other.bin"):
        pull(tmp_path, member="package/other.bin")


@needs_npm
def test_longer_member_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="expected 100 bytes, the archive holds more"):
        pull(tmp_path, size=100)
    assert list((tmp_path / "tiny").iterdir()) == []


@needs_npm
def test_links_are_no_files_and_bad_archives_are_errors(registry: Registry, tmp_path: Path) -> None:
    registry.body = tarball(("package/package.json", b"{}"), link="package/model.bin")
    with pytest.raises(AssetError, match="no member"):
        pull(tmp_path)


@needs_npm
def test_no_tarball_is_an_error(registry: Registry, tmp_path: Path) -> None:
    registry.body = b"<html>a login page</html>"
    with pytest.raises(AssetError, match="could not (fetch|read)"):
        pull(tmp_path)


@needs_npm
def test_no_registry_at_all(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(AssetError, match="check the network"):
        fetch_tarball(SOURCE, tmp_path)
