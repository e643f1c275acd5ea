"""Assets that everything runs without: pulls that fail, and setting up without them."""

import argparse
import hashlib
import logging
from pathlib import Path

import pytest

from foveal.assets.registry import Asset, AssetFile
from foveal.commands import models as models_command
from foveal.setup.retrieval.search import load_detector
from stream.errors import AssetError

FILE = AssetFile("a.bin", "npm:pack@1.0.0", "package/a.bin", 1, hashlib.sha256(b"a").hexdigest())


def pull(*names: str) -> int:
    parser = argparse.ArgumentParser()
    models_command.add_arguments(parser)
    return models_command.run(parser.parse_args(["pull", *names]))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a package that no machine can fetch."""
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path))

    def fetch(source: str, folder: Path, *_: object) -> Path:
        raise AssetError(f"could not fetch {source}: no network here")

    monkeypatch.setattr("foveal.assets.pull.fetch_archive", fetch)
    return tmp_path


@pytest.mark.parametrize("needed", [False, True])
def test_only_what_is_needed_may_stop_a_pull(
    offline: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    needed: bool,
) -> None:
    asset = Asset("extra", "something extra", "MIT", (FILE,), needed=needed)
    monkeypatch.setattr("foveal.assets.registry.ASSETS", (asset,))
    if needed:
        with pytest.raises(AssetError, match="could not fetch npm:pack"):
            pull()
        return
    assert pull() == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "could not fetch npm:pack@1.0.0" in told
    assert "Foveal runs without extra (something extra)" in told
    with pytest.raises(AssetError, match="could not fetch"):  # asked for by name
        pull("extra")


def test_without_the_detector_there_is_one_hint(
    offline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert load_detector() is None and load_detector() is None
    (hint,) = [record.getMessage() for record in caplog.records]
    assert "run `foveal models pull human-models`" in hint


def test_a_detector_that_does_not_fit_is_an_error(offline: Path) -> None:
    (offline / "human-models").mkdir()
    (offline / "human-models" / "centernet.json").write_text("{}", encoding="utf-8")
    with pytest.raises(AssetError, match=r"centernet.json: expected sha256 .* pull again"):
        load_detector()
