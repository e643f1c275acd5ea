"""ColQwen2 with random weights, by the real loading path: cells on a grid, searched to regions."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from retrieval.pages.building import build_pages
from retrieval.pages.late_search import PageSearcher
from retrieval.pages.patch_cells import PatchCells, grid_boxes, open_patch_cells
from retrieval.pages.stored import load_pages, page_writer
from stream.errors import AssetError
from stream.events import Query
from tests.doubles.colqwen2_random import SPACE, save_colqwen2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "colqwen2"
    save_colqwen2(folder)
    return folder


def page(path: Path, seed: int) -> Path:
    noise = np.random.default_rng(seed).integers(0, 255, (96, 64, 3), np.uint8)
    Pillow.fromarray(noise).save(path)
    return path


def test_cells_lie_on_a_grid(model: Path, tmp_path: Path) -> None:
    reader = open_patch_cells(model)
    cells = reader.read(page(tmp_path / "a.png", 0), None)
    assert cells.shape == (6, 4) and cells.vectors.shape == (24, SPACE) and not cells.texts
    assert np.allclose(np.linalg.norm(cells.vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(cells.boxes, grid_boxes((6, 4)))
    again = open_patch_cells(model).read(tmp_path / "a.png", None)
    assert np.array_equal(cells.vectors, again.vectors)
    other = reader.read(page(tmp_path / "b.png", 1), None)
    assert not np.allclose(cells.vectors, other.vectors, atol=1e-3)
    one, two = reader.query("a kettle"), reader.query("b")
    assert one.shape[1] == SPACE and len(one) > len(two) > 1


def test_a_search_gives_regions_without_words(model: Path, tmp_path: Path) -> None:
    reader: PatchCells = open_patch_cells(model)
    files = {f"{n}.png": page(tmp_path / f"{n}.png", n) for n in range(3)}
    with page_writer(tmp_path / "index", reader.id, reader.dim, tmp_path, "") as db:
        assert build_pages(db, files, reader).cells == 72
    searcher = PageSearcher(load_pages(tmp_path / "index"), reader)
    hits = searcher.find(Query("text", "kettle", 3))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.regions and not hit.texts for hit in hits)
    assert searcher.search(Query("text", "kettle", 3)) == []  # nothing that could be read out


def test_other_folders_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"config\.json"):
        open_patch_cells(tmp_path)
    told = json.loads((model / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**told, "model_type": "clip"}))
    with pytest.raises(AssetError, match="colqwen2"):
        open_patch_cells(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(AssetError, match="found none"):
        open_patch_cells(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(AssetError, match="whole"):
        open_patch_cells(tmp_path)
