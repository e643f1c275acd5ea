"""Opens a memory to be asked: with the encoders that the question needs and no others."""

import logging
from pathlib import Path

from foveal.setup.search import load_encoder, load_recogniser
from retrieval.encoders.conse import ConseEncoder
from retrieval.memory.searcher import MemorySearcher
from stream.clock import Clock
from stream.errors import MissingAssetError

logger = logging.getLogger(__name__)


def open_memory(path: Path, clock: Clock, pictures: bool = False) -> MemorySearcher:
    """A searcher over a memory's file; `pictures`: questions come with one.

    Where the text encoder was not pulled, words alone find, and a hint says so. Raises
    MemoryFileError for what is no memory, AssetError for files of encoders that do not fit.
    """
    try:
        encoder = load_encoder()
    except MissingAssetError as error:
        logger.warning("a memory is searched by its words alone: %s", error)
        return MemorySearcher(path, clock)
    if not pictures:
        return MemorySearcher(path, clock, encoder)
    recogniser = load_recogniser()
    joint = ConseEncoder(encoder, recogniser, recogniser.class_synonyms)
    return MemorySearcher(path, clock, encoder, joint)
