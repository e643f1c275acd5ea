"""Who finds what phrases name: settings -> a phrase segmenter, or None for the embedded way."""

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from foveal.assets.hub import pinned
from foveal.config.models import EMBEDDED, PhraseSettings
from stream.errors import AssetError

if TYPE_CHECKING:
    from perception.scene.instances import PhraseSegmenter

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)  # sessions of one server share it
def open_phrase_segmenter(settings: PhraseSettings) -> "PhraseSegmenter | None":
    """The segmenter that the settings name; raises AssetError, with what to do, without weights."""
    if settings.segmenter == EMBEDDED:
        return None
    from perception.device import resolve_device
    from perception.sam3.phrases import Sam3PhraseConfig, load_phrase_segmenter

    name = settings.segmenter.partition(":")[2]
    device = resolve_device(settings.device).name
    mixed = settings.precision == "mixed" or (settings.precision == "auto" and device == "cuda")
    try:
        segmenter = load_phrase_segmenter(
            pinned(name),
            Sam3PhraseConfig(min_score=settings.min_score),
            image_size=settings.image_size,
            device=device,
            mixed=mixed,
        )
    except AssetError as error:
        raise AssetError(
            f"{error}. Without it, phrases: segmenter: embedded needs no weights"
        ) from error
    if device == "cpu":
        logger.warning("SAM 3 on a CPU takes about a minute a picture at 1008 px; use a GPU")
    return segmenter
