"""Several indexes as one searcher: the wearer's own, first and always, and the knowledge base.

Own entries stand above all others by their tier, not by their score: what the wearer wrote down is
what they mean. So that notes which have nothing to do with a question never push out what tells it,
an own entry needs a score, and one place is left to the knowledge base.
"""

import dataclasses
from collections.abc import Sequence

from retrieval.search import Searcher
from stream.events import Evidence, Query, QueryFilter

RELEVANT = 0.18  # score of a text query from which an own entry has to do with it (docs/log.md)


class CombinedSearcher:
    """`Searcher` over the wearer's own indexes and a knowledge base."""

    def __init__(
        self, own: Sequence[Searcher], knowledge: Searcher, relevant: float = RELEVANT
    ) -> None:
        """`own` in the order of the configuration, which decides where scores are equal."""
        self._own, self._knowledge, self._relevant = tuple(own), knowledge, relevant

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` entries, own ones first, each part best first.

        A picture or region finds entries of all indexes by its looks; own entries that `about`, the
        question, finds by its words stand above them. Raises QueryError for a query that cannot be
        run.
        """
        own = self.search_own(query) if self._may(query, own=True) else []
        if not self._may(query, own=False):
            return own[: query.k]
        kept = own[: max(1, query.k - 1)]
        if query.kind != "text":
            return [*kept, *self._by_looks(query, kept)][: query.k]
        return [*kept, *self._knowledge.search(query)][: query.k]

    def search_own(self, query: Query) -> list[Evidence]:
        """Own entries that have to do with the words of a query, or of its `about`; best first."""
        words = query.text if query.kind == "text" else query.about
        if not words.strip():
            return []
        asked = Query("text", words, query.k, source=query.source, filter=_untiered(query))
        found = [one for index in self._own for one in index.search(asked)]
        return [_owned(one) for one in _best_first(found) if one.score >= self._relevant]

    def _by_looks(self, query: Query, above: Sequence[Evidence]) -> list[Evidence]:
        """Entries of all indexes by the looks of a picture, without those that stand above."""
        found = self._knowledge.search(query)
        if self._may(query, own=True):
            plain = dataclasses.replace(query, filter=_untiered(query))
            found = [_owned(one) for index in self._own for one in index.search(plain)] + found
        known = {one.id for one in above}
        return [one for one in _best_first(found) if one.id not in known]

    @staticmethod
    def _may(query: Query, own: bool) -> bool:
        """Whether the filter admits own entries, or any other."""
        tiers = query.filter.tiers
        return not tiers or ("own" in tiers if own else bool({*tiers} - {"own"}))


def _best_first(found: Sequence[Evidence]) -> list[Evidence]:
    return sorted(found, key=lambda one: -one.score)


def _owned(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, tier="own")


def _untiered(query: Query) -> QueryFilter:
    """A query's filter for an own index, all of which is own whatever its entries say."""
    return dataclasses.replace(query.filter, tiers=())
