"""The web behind the local indexes, where the settings name an endpoint; what left the machine."""

import os
from functools import lru_cache

from foveal.assets.registry import cache_root
from retrieval.search import Searcher
from retrieval.web.config import WebConfig
from retrieval.web.searcher import WebFallback, WebSearcher
from stream.outgoing import OutgoingLog


@lru_cache(maxsize=1)
def outgoing_log() -> OutgoingLog:
    """What this machine sent, outgoing.jsonl in the cache folder; one for all sessions."""
    return OutgoingLog(cache_root() / "outgoing.jsonl")


def with_web(local: Searcher, config: WebConfig) -> Searcher:
    """`local`, and the web where it is configured; raises ConfigError for a secret that lacks."""
    if config.url is None:
        return local
    return WebFallback(local, WebSearcher(config, outgoing_log(), os.environ), config.enough)
