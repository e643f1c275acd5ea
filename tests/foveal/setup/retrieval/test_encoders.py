"""Encoders by their names, with small random weights and a cache that lasts."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from foveal.config.retrieval import RetrievalSettings
from foveal.setup.retrieval.encoders import configured_encoder, open_encoder, open_text_encoder
from retrieval.encoders.cache import CachedEncoder
from stream.errors import AssetError, ConfigError
from tests.doubles.encoder_random import save_hf, save_open_clip


def test_a_folder_is_opened_and_its_vectors_last(tmp_path: Path) -> None:
    save_hf("siglip", tmp_path / "siglip")
    cache = tmp_path / "cache.sqlite"
    settings = RetrievalSettings(f"hf:{tmp_path / 'siglip'}", "pooled", cache)
    encoder = configured_encoder(settings)
    assert isinstance(encoder, CachedEncoder) and encoder.id.endswith("+pooled")
    first = encoder.encode_text(["a cup", "the sea"])
    with sqlite3.connect(cache) as db:
        assert db.execute("SELECT COUNT(*) FROM encodings").fetchone() == (2,)
    again = configured_encoder(settings)
    assert again is not None
    np.testing.assert_array_equal(again.encode_text(["the sea"]), first[1:])


def test_without_a_cache_that_can_be_written_it_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_hf("clip", tmp_path / "clip")
    (tmp_path / "cache").write_text("no database" * 100, encoding="utf-8")
    settings = RetrievalSettings(f"hf:{tmp_path / 'clip'}", cache=tmp_path / "cache")
    encoder = configured_encoder(settings)
    assert encoder is not None and not isinstance(encoder, CachedEncoder)
    assert "vectors are not kept" in caplog.text
    assert configured_encoder(RetrievalSettings()) is None


def test_open_clip_by_a_file(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason="foveal[clip] is not installed")
    save_open_clip("foveal-test-vit", tmp_path / "w.safetensors")
    encoder = open_encoder(f"open_clip:foveal-test-vit/{tmp_path}/w.safetensors", "crop")
    assert encoder.encode_text(["a cup"]).shape == (1, encoder.dim)


def test_words_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="embedded or sentence:MODEL"):
        open_text_encoder("hf:a/b")
    with pytest.raises(AssetError, match="expected a sentence-transformers model"):
        open_text_encoder(f"sentence:{tmp_path}")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an encoder of embedded, hf:MODEL"):
        open_encoder("clip")
    with pytest.raises(AssetError, match="expected the folder of a model"):
        open_encoder(f"hf:{tmp_path / 'none'}")
    pytest.importorskip("open_clip", reason="foveal[clip] is not installed")
    with pytest.raises(AssetError, match="tensors alone"):
        open_encoder(f"open_clip:ViT-B-32/{tmp_path}/none.safetensors")
