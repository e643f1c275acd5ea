"""`Searcher`s that ask the web: one alone, and one that asks it where local evidence is weak."""

import html
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from retrieval.search import Searcher
from retrieval.sources.records import MAX_TITLE_CHARS, iso_date
from retrieval.sources.sentences import clean, quote, sentences
from retrieval.web.config import WebConfig
from retrieval.web.fetch import fetch_json
from stream.errors import QueryError
from stream.events import Evidence, Query, Tier
from stream.outgoing import OutgoingLog

MAX_WORDS_CHARS = 400  # of what is sent
MAX_TEXT_CHARS = 4000  # of a result, before it is cut to sentences
MAX_SENTENCES = 4
SOURCE = "web"
TIER: Tier = "unvetted"
_TAG = re.compile(r"<[^<>]{0,200}>")


class WebSearcher:
    """Text queries become one request; pictures never leave the machine.

    Scores are 1 / (1 + rank): an endpoint's order, and no likeness. All evidence is unvetted.
    """

    def __init__(
        self, config: WebConfig, log: OutgoingLog, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment` holds the secrets that the configuration's headers name.

        Raises ConfigError for a configuration without a url, or a secret that is not there.
        """
        self._config, self._log = config, log
        self._headers = config.filled(environment or {})
        self._server = urlsplit(config.address("", 1)).netloc

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` results, in the endpoint's order; none for pictures and regions.

        Raises QueryError for an endpoint that does not answer, or not as it is configured.
        """
        tiers, config = query.filter.tiers, self._config
        if query.kind != "text" or query.source == "memory" or (tiers and TIER not in tiers):
            return []
        words = clean(query.text)[:MAX_WORDS_CHARS]
        if not words:
            return []
        try:
            answer = fetch_json(
                config.address(words, query.k),
                self._headers,
                config.timeout_s,
                config.max_bytes,
                config.allow_private,
            )
            found = list(self._read(answer, query))
        except QueryError as error:
            self._log.add("web", self._server, words, str(error))
            raise
        self._log.add("web", self._server, words, f"{len(found)} results")
        return found

    def _read(self, answer: Any, query: Query) -> Iterator[Evidence]:
        rows = _at(answer, self._config.results)
        if not isinstance(rows, list):
            raise QueryError(
                f"expected a list of results at {self._config.results!r} in the answer of "
                f"{self._server}, got {type(rows).__name__}; see web.results"
            )
        count = 0
        for row in rows:
            evidence = self._evidence(row, 1 / (1 + count), query)
            if evidence is not None:
                yield evidence
                count += 1
            if count == query.k:
                return

    def _evidence(self, row: Any, score: float, query: Query) -> Evidence | None:
        config = self._config
        title = _words(_at(row, config.title))[:MAX_TITLE_CHARS]
        told = sentences(_words(_at(row, config.text)))[:MAX_SENTENCES]
        at_ns = _moment(_at(row, config.date))
        if not (title and told) or not query.filter.admits(SOURCE, TIER, (), at_ns):
            return None
        link = _at(row, config.link)
        link = link if isinstance(link, str) and link.startswith(("https://", "http://")) else ""
        nearest = tuple(map(quote, told))
        text = " ".join(nearest)
        name = f"web:{link or title}"
        return Evidence(name, title, text, score, link or self._server, None, nearest, TIER)


class WebFallback:
    """Local evidence first; the web where none of it is good enough."""

    def __init__(self, local: Searcher, web: Searcher, enough: float) -> None:
        """`enough`: a score of local evidence from which nothing is sent."""
        self._local, self._web, self._enough = local, web, enough

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k`: the best of the local evidence, then the web's.

        All but one place are the web's where it is asked. What goes wrong there is in its log.
        """
        local = self._local.search(query)
        if query.kind != "text" or any(one.score >= self._enough for one in local):
            return local
        try:
            found = self._web.search(query)
        except QueryError:
            return local
        kept = local[: query.k - min(len(found), max(1, query.k - 1))]
        return [*kept, *found][: query.k]


def _at(value: Any, path: str) -> Any:
    """What a path leads to; None where it leads nowhere."""
    for key in filter(None, path.split(".")):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _words(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return clean(html.unescape(_TAG.sub(" ", value[:MAX_TEXT_CHARS])))


def _moment(value: Any) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 date; None for none."""
    told = iso_date(value) if isinstance(value, str) else None
    if not told:
        return None
    return int(datetime.fromisoformat(told).replace(tzinfo=UTC).timestamp()) * 1_000_000_000
