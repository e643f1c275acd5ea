"""Patches of a page's picture as cells, by ColQwen2 through transformers.

Faysse et al., "ColPali: Efficient Document Retrieval with Vision Language Models", 2024. Weights
are read from safetensors alone and no code of a repository is run.
"""

import json
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture

from retrieval.encoders.text import Vectors, unit_rows
from retrieval.encoders.weights import fingerprint
from retrieval.pages.cells import CellGrid, Shares
from retrieval.sources.pdf import page_picture
from retrieval.sources.pictures import load_picture
from stream.errors import AssetError, SourceError

FAMILY = "colqwen2"
MAX_QUERY_CHARS = 2000


class PatchCells:
    """`CellReader` of one loaded ColQwen2; threads may share it."""

    def __init__(self, model: Any, processor: Any, name: str) -> None:
        """`name` tells the weights."""
        self._model, self._processor, self._lock = model.eval(), processor, Lock()
        self.id, self.dim = f"patches-1 {name}", int(model.config.embedding_dim)

    def read(self, path: Path, page: int | None) -> CellGrid:
        """See CellReader."""
        image = load_picture(str(path)) if page is None else page_picture(path, page)
        with self._lock:
            inputs = self._processor.process_images(images=[Picture.fromarray(image)])
        vectors = self._encoded(inputs)
        patches = inputs["input_ids"][0] == self._processor.image_token_id
        _, rows, columns = inputs["image_grid_thw"][0].tolist()
        merged = int(self._processor.image_processor.merge_size)
        shape = (rows // merged, columns // merged)
        found = vectors[patches.numpy()]
        if not np.isfinite(found).all():
            raise SourceError("expected finite vectors of the page's patches, got NaN or infinity")
        return CellGrid(found, grid_boxes(shape), shape)

    def query(self, text: str) -> Vectors:
        """See CellReader: a vector a token, those that the processor adds included."""
        with self._lock:
            inputs = self._processor.process_queries(text=[text[:MAX_QUERY_CHARS]])
        return self._encoded(inputs)

    def _encoded(self, inputs: Any) -> Vectors:
        known = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
        kept = {name: inputs[name].to(self._model.device) for name in known if name in inputs}
        with torch.inference_mode():
            found = self._model(**kept).embeddings[0]
        return unit_rows(found.float().cpu().numpy())


def grid_boxes(shape: tuple[int, int]) -> Shares:
    """[rows * columns, 4] boxes of patches in shares of the page."""
    rows, columns = shape
    y, x = np.divmod(np.arange(rows * columns), columns)
    corners = (x / columns, y / rows, (x + 1) / columns, (y + 1) / rows)
    return np.stack(corners, axis=1).astype(np.float32)


def open_patch_cells(folder: Path, device: str = "cpu") -> PatchCells:
    """A folder with a ColQwen2 checkpoint; raises AssetError for anything else."""
    import transformers

    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        family = told.get("model_type") if isinstance(told, dict) else None
    except (OSError, ValueError) as error:
        raise AssetError(f"expected a model's config.json in {folder}: {error}") from error
    if family != FAMILY:
        raise AssetError(f"expected a model of the kind {FAMILY} in {folder}, got {family!r}")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise AssetError(f"expected weights as .safetensors in {folder}, found none")
    only = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = transformers.ColQwen2ForRetrieval.from_pretrained(
            folder, use_safetensors=True, **only
        )
        processor = transformers.ColQwen2Processor.from_pretrained(folder, **only)
    except Exception as error:  # transformers' own of broken checkpoints are many
        reason = " ".join(str(error).split())[:200]
        raise AssetError(f"expected a whole {FAMILY} checkpoint in {folder}: {reason}") from error
    return PatchCells(model.to(device), processor, f"{folder.name}-{fingerprint(weights)}")
