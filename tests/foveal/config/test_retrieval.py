"""Names of encoders: which are taken, which refused before anything is loaded."""

from pathlib import Path

import pytest

from foveal.assets.hub import needed
from foveal.config.load import parse_config
from foveal.config.retrieval import OpenClipName
from stream.errors import ConfigError

GOOD = (
    "embedded",
    "hf:google/siglip2-base-patch16-256@abc",
    "hf:/models/clip",
    "open_clip:ViT-B-32/laion2b_s34b_b79k",
    "open_clip:ViT-B-32//models/vit.safetensors",
    "alpha:ViT-B-16-quickgelu/openai#~/clip_b16_grit1m.pth",
)
BAD = (
    "clip",
    "hf:",
    "hf:siglip",
    "open_clip:ViT-B-32",
    "open_clip:/file.pt",
    "open_clip:ViT-B-32/openai#file.pth",
    "alpha:ViT-B-32/openai",
    "alpha:ViT-B-32/openai#",
    "",
)


@pytest.mark.parametrize("name", GOOD)
def test_taken(name: str) -> None:
    assert parse_config({"retrieval": {"encoder": name}}).retrieval.encoder == name


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="retrieval"):
        parse_config({"retrieval": {"encoder": name}})


def test_alpha_needs_an_encoder_that_reads_masks() -> None:
    settings = {"encoder": GOOD[-1], "regions": "alpha", "cache_mb": 0}
    assert parse_config({"retrieval": settings}).retrieval.regions == "alpha"
    with pytest.raises(ConfigError, match="only an alpha"):
        parse_config({"retrieval": {"encoder": "hf:a/b", "regions": "alpha"}})
    with pytest.raises(ConfigError, match="cache_mb"):
        parse_config({"retrieval": {"cache_mb": -1}})


def test_a_file_and_a_tag_are_told_apart(tmp_path: Path) -> None:
    assert OpenClipName.parse("ViT-B-32/laion2b_s34b_b79k").file is None
    assert OpenClipName.parse("ViT-B-32/w.safetensors").file == Path("w.safetensors")
    named = OpenClipName.parse(f"ViT-B-32/{tmp_path}/w.pt#{tmp_path}/alpha.pth")
    assert (named.file, named.alpha) == (tmp_path / "w.pt", tmp_path / "alpha.pth")


def test_models_pull_knows_of_it() -> None:
    config = parse_config({"retrieval": {"encoder": "hf:google/siglip2-base-patch16-256@abc"}})
    (model,) = needed(config)
    assert (model.id, model.revision) == ("google/siglip2-base-patch16-256", "abc")
    assert "*.safetensors" in model.files and "*.bin" not in model.files
    assert needed(parse_config({"retrieval": {"encoder": "hf:/models/clip"}})) == ()
