"""What is known and what the wearer has seen, behind one `Searcher`: whoever may know is asked.

A query that names its source goes there. Any other goes to the knowledge, and one that asks of the
past to the memory as well: to two sources at most, each with half of the places.
"""

from collections.abc import Callable
from dataclasses import replace

from retrieval.memory.asking import asks_of_past
from retrieval.search import Searcher
from stream.events import Evidence, Query


class RoutedSearcher:
    """`Searcher` over knowledge and memory."""

    def __init__(
        self,
        knowledge: Searcher,
        memory: Searcher,
        of_past: Callable[[str], bool] = asks_of_past,
    ) -> None:
        """`of_past` says of a question whether it is about what the wearer has seen."""
        self._knowledge, self._memory, self._of_past = knowledge, memory, of_past

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` entries, what was seen first; raises QueryError as they do."""
        if query.source == "memory":
            return self._memory.search(query)
        asked = query.text if query.kind == "text" else query.about
        if query.source == "knowledge" or not self._of_past(asked):
            return self._knowledge.search(query)
        half = replace(query, k=max(1, query.k // 2))
        return [*self._memory.search(half), *self._knowledge.search(half)][: query.k]
