"""Encoders of pictures and words by the name that `retrieval.encoder` gives them.

embedded                  ConSE over MiniLM and the shared backbone
hf:MODEL[@REVISION]       CLIP, MetaCLIP 2, SigLIP or SigLIP 2 of the hub, or of a folder
open_clip:MODEL/WEIGHTS   a model of open_clip with a file, or the tag of published weights
alpha:MODEL/WEIGHTS#FILE  the same with a file of Alpha-CLIP's upon it
NAME:REST                 an encoder of another installed package (docs/library.md)
"""

import logging
from typing import TYPE_CHECKING

from foveal.assets.hub import LANGUAGE, at_commit
from foveal.assets.registry import cache_root
from foveal.config.models import EMBEDDED
from foveal.config.retrieval import OpenClipName, RetrievalSettings, check_encoder
from foveal.setup.retrieval.search import load_encoder, load_recogniser
from reasoning.vlm.hub import model_folder
from reasoning.vlm.hub_name import HubName
from retrieval.encoders.cache import CachedEncoder, EncodingCache
from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import TextEncoder
from stream import extensions
from stream.errors import AssetError, ConfigError

if TYPE_CHECKING:
    from perception.device import Device
    from perception.scene.recogniser import Recogniser
    from retrieval.encoders.region_modes import RegionMode
    from retrieval.encoders.regions import DualTowers

logger = logging.getLogger(__name__)

CACHE = "encodings.sqlite"


def open_encoder(
    name: str, regions: "RegionMode" = "both", device: "Device | None" = None
) -> JointEncoder:
    """The encoder of a name, on the CPU unless told.

    Raises ConfigError for a name that none has or for regions that it cannot read so, and
    AssetError with what to do where its weights are missing or do not fit.
    """
    from perception.device import CPU
    from retrieval.encoders.regions import DualEncoder

    check_encoder(name)
    scheme, _, rest = name.partition(":")
    if extensions.named("encoders", name):
        added: JointEncoder = extensions.load("encoders", scheme)(rest)
        return added
    if name == EMBEDDED:
        return embedded_encoder()
    return DualEncoder(_towers(scheme, rest, device or CPU), regions)


def open_text_encoder(name: str, device: "Device | None" = None) -> TextEncoder:
    """An encoder of words alone: embedded, or `sentence:MODEL`, of the hub or of a folder.

    Raises ConfigError for another name and AssetError with what to do where it does not fit.
    """
    from perception.device import CPU

    if name == EMBEDDED:
        return load_encoder()
    scheme, _, rest = name.partition(":")
    if scheme != "sentence" or not rest:
        raise ConfigError(f"expected an encoder of words, embedded or sentence:MODEL; got {name!r}")
    from retrieval.encoders.sentence import open_sentence

    hub_name = HubName.parse(rest)
    folder = model_folder(hub_name, LANGUAGE)
    return open_sentence(folder, hub_name.id or folder.name, (device or CPU).name)


def embedded_encoder(recogniser: "Recogniser | None" = None) -> JointEncoder:
    """ConSE with the embedded models."""
    from retrieval.encoders.conse import ConseEncoder

    recogniser = recogniser or load_recogniser()
    return ConseEncoder(load_encoder(), recogniser, recogniser.class_synonyms, "everyday")


def configured_encoder(
    settings: RetrievalSettings, device: "Device | None" = None
) -> JointEncoder | None:
    """The encoder of image and region queries; None for the embedded way. Raises as `open_encoder`.

    What it said before is read from the cache, so that an index is encoded once.
    """
    if settings.encoder == EMBEDDED:
        return None
    encoder = open_encoder(settings.encoder, settings.regions, device)
    if not settings.cache_mb:
        return encoder
    try:
        path = settings.cache or cache_root() / CACHE
        return CachedEncoder(encoder, EncodingCache(path, settings.cache_mb * 1_000_000))
    except AssetError as error:
        logger.warning("vectors are not kept for another start: %s", error)
        return encoder


def _towers(scheme: str, rest: str, device: "Device") -> "DualTowers":
    if scheme == "hf":
        from retrieval.encoders.hf import open_hf

        name = at_commit(HubName.parse(rest))
        folder = model_folder(name, LANGUAGE)
        return open_hf(folder, name.id or folder.name, device.name, device.dtype)
    from retrieval.encoders.alpha import open_alpha_clip
    from retrieval.encoders.open_clip import open_clip_towers, pretrained_file

    named = OpenClipName.parse(rest)
    weights = named.file or pretrained_file(named.architecture, named.weights)
    if named.alpha is not None:
        return open_alpha_clip(named.architecture, weights, named.alpha, device.name)
    return open_clip_towers(named.architecture, weights, device.name, device.dtype)
