"""Files that broke off: the second pull asks for the rest, and nothing wrong is taken for right."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from foveal.assets.hub import HubModel, pull
from foveal.assets.hub_files import SUFFIX
from stream.errors import AssetError
from tests.doubles.hub import SmallHub, use_hub

NAME, FILE = "own/tiny", "model.safetensors"
WEIGHTS = bytes(range(256)) * 40
MODEL = HubModel(NAME, "main", "model", "MIT", 0, ("*.safetensors", "*.json"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    with SmallHub() as small:
        small.models[NAME] = {FILE: WEIGHTS, "config.json": b"{}"}
        use_hub(monkeypatch, small.url, tmp_path)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)  # that are written at a time
        monkeypatch.setattr("time.sleep", lambda _: None)  # before the client asks again
        yield small


def broken_off(hub: SmallHub, cache: Path, at: int = 1000) -> Path:
    """A pull that the hub breaks off; returns what is left of it."""
    hub.cut = at
    with pytest.raises(AssetError):
        pull(MODEL)
    hub.cut = None
    hub.fetched.clear()
    (part,) = cache.rglob(f"*{SUFFIX}")
    assert part.read_bytes() == WEIGHTS[:at]
    return part


def test_only_the_rest_is_asked_for(hub: SmallHub, tmp_path: Path) -> None:
    part = broken_off(hub, tmp_path)
    folder = pull(MODEL)
    assert hub.fetched == [(FILE, "bytes=1000-")] and (folder / FILE).read_bytes() == WEIGHTS
    assert (folder / FILE).resolve().name == hashlib.sha256(WEIGHTS).hexdigest()
    assert not part.exists()
    hub.fetched.clear()
    assert pull(MODEL) == folder and not hub.fetched


def test_a_store_without_ranges_gives_all_of_it(hub: SmallHub, tmp_path: Path) -> None:
    broken_off(hub, tmp_path)
    hub.ranges = False
    assert (pull(MODEL) / FILE).read_bytes() == WEIGHTS


def test_a_file_that_has_changed_begins_anew(hub: SmallHub, tmp_path: Path) -> None:
    part = broken_off(hub, tmp_path)
    hub.models[NAME][FILE] = other = WEIGHTS[::-1]
    assert (pull(MODEL) / FILE).read_bytes() == other
    assert hub.fetched == [(FILE, None)] and not part.exists()


def test_what_was_damaged_is_removed_and_the_next_pull_is_right(
    hub: SmallHub, tmp_path: Path
) -> None:
    part = broken_off(hub, tmp_path)
    part.write_bytes(bytes(1000))
    with pytest.raises(AssetError, match=rf"expected {FILE} .*with 10240 bytes.*pull again"):
        pull(MODEL)
    assert not part.exists()
    assert (pull(MODEL) / FILE).read_bytes() == WEIGHTS


def test_more_than_the_whole_is_no_beginning(hub: SmallHub, tmp_path: Path) -> None:
    broken_off(hub, tmp_path).write_bytes(bytes(len(WEIGHTS) + 1))
    assert (pull(MODEL) / FILE).read_bytes() == WEIGHTS and hub.fetched == [(FILE, None)]
