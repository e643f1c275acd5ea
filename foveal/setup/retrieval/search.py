"""Puts search together: pinned assets and an index folder -> a searcher."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from foveal.assets.convert import network_path
from foveal.assets.registry import asset_path, cache_root
from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import MiniLmEncoder, TextEncoder
from retrieval.joint_search import JointSearcher
from retrieval.search import KnowledgeSearcher
from retrieval.sources.wiki import WIKI_SOURCE
from retrieval.store.canaries import check_canaries
from retrieval.store.knowledge import load_store
from stream.errors import MissingAssetError

if TYPE_CHECKING:
    # torch takes seconds: not for text queries
    from perception.detect.detector import Detector
    from perception.device import Device
    from perception.features.backbone import Backbone
    from perception.scene.recogniser import Recogniser

logger = logging.getLogger(__name__)

BACKBONE = ("efficientnet-lite2", "efficientnet-lite2-9656183e.pth")
DETECTOR = "human-models"


def index_dir(name: str = WIKI_SOURCE) -> Path:
    """Where the index of a source lies unless the user says otherwise."""
    return cache_root() / "index" / name


def load_encoder(
    threads: int = 2, providers: Sequence[str] = ("CPUExecutionProvider",)
) -> MiniLmEncoder:
    """The embedded text encoder."""
    asset = "minilm-l6-v2"
    model, tokenizer = asset_path(asset, "model.onnx"), asset_path(asset, "tokenizer.json")
    return MiniLmEncoder(model, tokenizer, threads, providers)


def load_backbone(height: int = 256, device: "Device | None" = None) -> "Backbone":
    """The shared image backbone, on the CPU unless told."""
    from perception.device import CPU
    from perception.features.backbone import Backbone

    return Backbone.load(asset_path(*BACKBONE), device or CPU, height)


def load_recogniser(backbone: "Backbone | None" = None) -> "Recogniser":
    """The embedded image classifier, for image and region queries."""
    from perception.scene.recogniser import Recogniser, load_head

    return Recogniser(backbone or load_backbone(), load_head())


def load_detector(device: "Device | None" = None) -> "Detector | None":
    """The embedded object detector; None, with one hint a process, where it was not pulled.

    Raises AssetError for files that are there and do not fit.
    """
    from perception.detect.detector import MODEL, Detector
    from perception.device import CPU

    try:
        return Detector.load(network_path(DETECTOR, MODEL), device or CPU)
    except MissingAssetError as error:
        _hint(str(error))
        return None


@lru_cache(maxsize=8)
def _hint(text: str) -> None:
    """Say something once."""
    logger.warning("no object detector, so everyday things are named and counted worse: %s", text)


def open_searcher(
    folder: Path | None = None,
    recogniser: "Recogniser | None" = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    joint: JointEncoder | None = None,
) -> KnowledgeSearcher:
    """A searcher over an index folder; without a recogniser it serves text queries only.

    `providers`: what ONNX Runtime encodes words with, in the order that is tried. `joint` reads
    pictures and regions in place of the recogniser.
    """
    return _searcher(folder or index_dir(), load_encoder(providers=providers), recogniser, joint)


def open_own(
    paths: Sequence[Path],
    encoder: TextEncoder,
    recogniser: "Recogniser",
    joint: JointEncoder | None = None,
) -> tuple[KnowledgeSearcher, ...]:
    """The wearer's own indexes, with the models of the knowledge base that they stand beside.

    Raises AssetError for a folder that holds no index, or one of another encoder.
    """
    return tuple(_searcher(path, encoder, recogniser, joint) for path in paths)


def _searcher(
    folder: Path,
    encoder: TextEncoder,
    recogniser: "Recogniser | None",
    joint: JointEncoder | None = None,
) -> KnowledgeSearcher:
    store = load_store(folder, encoder.id)
    check_canaries(folder, encoder)
    synonyms = None if recogniser is None else recogniser.class_synonyms
    if joint is not None:
        return JointSearcher(store, encoder, joint, recogniser, synonyms)
    return KnowledgeSearcher(store, encoder, recogniser, synonyms)
