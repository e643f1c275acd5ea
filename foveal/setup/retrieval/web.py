"""Servers beside the local indexes, where the settings name any; and what left the machine."""

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from foveal.assets.registry import cache_root
from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import TextEncoder
from retrieval.qdrant.place import QdrantConfig
from retrieval.search import Searcher
from retrieval.web.config import WebConfig
from retrieval.web.searcher import WebFallback, WebSearcher
from stream.errors import ConfigError
from stream.outgoing import OutgoingLog

if TYPE_CHECKING:
    from retrieval.qdrant.collection import Collection


@lru_cache(maxsize=1)
def outgoing_log() -> OutgoingLog:
    """What this machine sent, outgoing.jsonl in the cache folder; one for all sessions."""
    return OutgoingLog(cache_root() / "outgoing.jsonl")


def with_web(local: Searcher, config: WebConfig) -> Searcher:
    """`local`, and the web where it is configured; raises ConfigError for a secret that lacks."""
    if config.url is None:
        return local
    return WebFallback(local, WebSearcher(config, outgoing_log(), os.environ), config.enough)


def open_collection(config: QdrantConfig) -> "Collection":
    """A collection of a server: nothing is sent yet. Raises ConfigError without the package."""
    try:
        from retrieval.qdrant.collection import Collection, connect
    except ImportError as error:
        raise ConfigError(
            "expected the package qdrant-client for a Qdrant server; run "
            "`pip install foveal[qdrant]`"
        ) from error
    return Collection(connect(config), config.place, outgoing_log())


def with_qdrant(
    local: Searcher, config: QdrantConfig, encoder: TextEncoder, joint: JointEncoder | None
) -> Searcher:
    """`local`, and a collection beside it where one is configured; raises ConfigError."""
    if config.url is None:
        return local
    collection = open_collection(config)
    from retrieval.qdrant.search_collection import QdrantBeside, QdrantSearcher

    return QdrantBeside(local, QdrantSearcher(collection, config, encoder, joint))
