"""Opens a memory: to be asked alone, or to be written by sessions and asked in them."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from foveal.config.schema import MemorySettings
from foveal.setup.retrieval.search import load_encoder, load_recogniser
from retrieval.encoders.conse import ConseEncoder
from retrieval.memory.disk.writer import MemoryWriter
from retrieval.memory.searcher import MemorySearcher
from stream.clock import Clock, MonotonicClock
from stream.errors import MissingAssetError

if TYPE_CHECKING:
    # torch takes seconds: not for a memory that is asked with words
    from foveal.session.memory.recalling import Recalling
    from foveal.session.memory.remember import Rememberer
    from foveal.setup.assistant import Models

logger = logging.getLogger(__name__)

CLIP_PATIENCE_S = 60.0  # a question about a recording waits until all is remembered


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


def open_rememberer(
    settings: MemorySettings, models: "Models", clock: Clock, replays: bool = False
) -> tuple["Rememberer", "Recalling"]:
    """The memory that the settings name, made where there is none, and what asks it.

    `clock`: wall time. `replays`: a recording's frames wait until they are looked at. Raises
    MemoryFileError for a file that is no memory, or that another process writes.
    """
    from foveal.session.memory.beside import Beside
    from foveal.session.memory.impressions import EmbeddedImpressions
    from foveal.session.memory.recalling import Recalling
    from foveal.session.memory.remember import Rememberer

    assert settings.path is not None  # else nobody asks for one
    recogniser, searcher = load_recogniser(models.backbone), models.searcher
    impressions = EmbeddedImpressions(
        models.backbone, recogniser, models.reader, searcher.class_vectors, searcher.encoder.id
    )
    writer = MemoryWriter(settings.path, MonotonicClock(), keep_days=settings.retention_days)
    beside = Beside("foveal-remember", replays)
    zone = settings.zone or local_zone()
    memory = Rememberer(writer, impressions, beside, settings.read_words, zone)
    if replays:
        memory.patience_s = CLIP_PATIENCE_S
    asked = MemorySearcher(
        settings.path,
        clock,
        searcher.encoder,
        appearance=impressions,
        under_way=memory.under_way,
    )
    return memory, Recalling(asked, clock, memory.settle, replays)


def local_zone() -> str:
    """The machine's time zone by its IANA name; UTC where it does not tell one."""
    path = str(Path("/etc/localtime").resolve())
    for name in (os.environ.get("TZ", ""), path.partition("zoneinfo/")[2]):
        try:
            if name and ZoneInfo(name):
                return name
        except (ValueError, OSError, ZoneInfoNotFoundError):
            continue
    return "UTC"
