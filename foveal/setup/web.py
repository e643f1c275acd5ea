"""The web behind the local indexes, where the settings name an endpoint."""

import os
from functools import lru_cache

from foveal.assets.registry import cache_root
from retrieval.search import Searcher
from retrieval.web.config import WebConfig
from retrieval.web.searcher import WebFallback, WebSearcher
from retrieval.web.sent import SentLog


@lru_cache(maxsize=1)
def sent_log() -> SentLog:
    """What this machine sent, sent.jsonl in the cache folder; one for all sessions."""
    return SentLog(cache_root() / "sent.jsonl")


def with_web(local: Searcher, config: WebConfig) -> Searcher:
    """`local`, and the web where it is configured; raises ConfigError for a secret that lacks."""
    if config.url is None:
        return local
    return WebFallback(local, WebSearcher(config, sent_log(), os.environ), config.enough)
