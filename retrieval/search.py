"""Search: one call for text, image and region queries over one index.

Text queries score an entry by (1 - w) * dense + w * words: dense averages the cosine of its entity
vector and the best cosine of its passage vectors, words is the best BM25 of its passages (0..1, see
store/words.py; title words count in each). A query that is an entry's name, and nothing else,
lifts that entry. The weights were set on a grid over questions (docs/log.md).

Image and region queries score it by cosine of the ConSE vector with its entity vector, name
agreement and a topic shift (see retrieval/encoders/visual.py).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retrieval.defence.hubs import HubGuard, hub_bank
from retrieval.defence.tiers import trusted_first, with_agreement
from retrieval.encoders.conse import ConseProjector, ImageClassifier, Posteriors, class_vectors
from retrieval.encoders.text import TextEncoder, Vectors
from retrieval.encoders.visual import (
    NAME_WEIGHT,
    NameLinks,
    query_posteriors,
    topic_shifts,
)
from retrieval.sources.sentences import quote, search_words
from retrieval.store.caches.vectors import Allowed
from retrieval.store.changes import class_keys
from retrieval.store.knowledge import KnowledgeStore
from retrieval.store.rows import Numbers
from stream.errors import QueryError
from stream.events import Evidence, Query, QueryFilter
from stream.geometry import Box

CANDIDATES = 60  # rows taken from each of the three lists of a text query
EVERYTHING = QueryFilter()
FIRST_PASSAGES, OTHER_PASSAGES = 6, 2  # quoted of the best entry, and of each other one
MAX_READ = 24  # passages of the best entry that are read again
MAX_QUERY_CHARS = 2000  # of a text query; the encoder reads 256 tokens at most


class Searcher(Protocol):
    """Answers a query with evidence, best first."""

    def search(self, query: Query) -> list[Evidence]:
        """At most `query.k` entries; raises QueryError for a query that cannot be run."""


@dataclass(frozen=True, slots=True)
class HybridWeights:
    """How a text query mixes its signals; every score stays in -1..1."""

    words: float = 0.4  # BM25 against cosine
    entity: float = 0.4  # of the cosine, the entity vector's part against the passage's
    name: float = 0.3  # of the way to 1, for a query that is exactly the title


class KnowledgeSearcher:
    """`Searcher` over a `KnowledgeStore`."""

    def __init__(
        self,
        store: KnowledgeStore,
        encoder: TextEncoder,
        classifier: ImageClassifier | None = None,
        synonyms: Sequence[Sequence[str]] | None = None,
        weights: HybridWeights | None = None,
        defended: bool = True,
    ) -> None:
        """`classifier` serves image and region queries; `synonyms` are its classes' other names.

        Without `defended`, hubs and unvetted pages are believed: for comparison.

        Raises QueryError when the store was built with another encoder.
        """
        if store.encoder_id != encoder.id:
            raise QueryError(
                f"expected the encoder {store.encoder_id} of the index, got {encoder.id}"
            )
        self.store = store
        self.encoder, self._classifier = encoder, classifier
        self._weights = weights or HybridWeights()
        self._owner = store.passage_entry
        self._number = {entry.id: number for number, entry in enumerate(store.entries)}
        self._titles = [frozenset(search_words(entry.title)) for entry in store.entries]
        self._shifts = topic_shifts(store.entries)
        unvetted = [entry.tier == "unvetted" and defended for entry in store.entries]
        self._unvetted = np.array(unvetted, np.bool_)
        self.hubs: HubGuard | None = None  # of searches by looks
        if classifier is not None:
            classes = synonyms or [(name,) for name in classifier.class_names]
            self.class_vectors = self._class_vectors(classes)  # [C, D]
            self._projector = ConseProjector(self.class_vectors)
            self._links = NameLinks(store.entries, classes)
            if defended:
                bank = hub_bank(self.class_vectors)
                self.hubs = HubGuard.of(store.entity, len(store.entries), bank)

    def search(self, query: Query) -> list[Evidence]:
        """Evidence best first; ties keep the order of the index."""
        if query.kind == "text":
            return self._search_text(query.text, query.k, query.filter)
        if self._classifier is None:
            raise QueryError(f"expected a searcher with an image classifier for {query.kind}")
        if query.image is None:
            raise QueryError(f"expected an image for a {query.kind} query, got none")
        mask = query.mask if query.kind == "region" else None
        posteriors, box = query_posteriors(self._classifier, query.image, mask)
        return self.search_posteriors(posteriors, query.k, box, query.about, query.filter)

    def search_posteriors(
        self,
        posteriors: Posteriors,
        k: int,
        box: Box | None = None,
        about: str = "",
        wanted: QueryFilter = EVERYTHING,
    ) -> list[Evidence]:
        """Evidence for [1, C] class posteriors; the text is each entry's first sentence.

        With `about`, a question, the best entry's passages nearest to it follow.
        """
        store, admitted = self.store, self.store.allowed(wanted)
        vector = self._projector.project(posteriors)
        names = self._links.agreement(posteriors[0])
        rows = store.entity.search(vector, k + CANDIDATES, admitted)[1][0]
        named = np.flatnonzero(names > 0.01 if admitted is None else (names > 0.01) & admitted)
        rows = np.union1d(rows[rows >= 0], named).astype(np.int64)
        rows = rows if self.hubs is None else rows[self.hubs.admits(rows)]
        vectors = store.entity.vectors(rows)
        cosines = vectors @ vector[0]
        if self.hubs is not None:
            cosines = self.hubs.scaled(cosines, vectors)
        scores = (1 - NAME_WEIGHT) * cosines + NAME_WEIGHT * names[rows] + self._shifts[rows]
        scores = trusted_first(scores, self._unvetted[rows])
        return self.shown(rows, scores, k, box, about)

    def shown(
        self, entries: Numbers, scores: Vectors, k: int, box: Box | None, about: str
    ) -> list[Evidence]:
        """The k best of some entries [N] by their scores [N], as a picture's evidence."""
        best = np.argsort(-scores, kind="stable")[:k]
        found = [
            self._evidence(entry, quote(self.store.entries[entry].passages[0]), score, box)
            for entry, score in ((int(entries[place]), float(scores[place])) for place in best)
        ]
        if found and about.strip():
            first, near = found[0].text, self.reread(found[0], about)
            if not near.text.startswith(first):
                near = dataclasses.replace(
                    near, text=f"{first} {near.text}", nearest=(*near.nearest, first)
                )
            found[0] = near
        return found

    def reread(self, evidence: Evidence, question: str) -> Evidence:
        """The same entry with the passages nearest to a question, its score unchanged.

        Raises QueryError when the entry is not of this index or the question is empty.
        """
        number = self._number.get(evidence.id)
        if number is None:
            raise QueryError(f"expected an entry of {self.store.source}, got {evidence.id!r}")
        vector, words = self._encode(question)
        dense, lexical = self._passage_scores(np.array([number]), vector, words)
        text, nearest = self._read(number, vector, self._mix(dense, lexical))
        return dataclasses.replace(evidence, text=text, nearest=nearest)

    def _search_text(self, text: str, k: int, wanted: QueryFilter) -> list[Evidence]:
        vector, words = self._encode(text)
        entries = self._candidates(vector, words, k, self.store.allowed(wanted))
        if not entries.size:
            return []
        starts = self.store.starts
        dense, lexical = self._passage_scores(entries, vector, words)
        bounds = np.cumsum([0, *(starts[entries + 1] - starts[entries])[:-1]])
        own = self.store.entity.vectors(entries) @ vector[0]
        share = self._weights.entity
        near = share * own + (1 - share) * np.maximum.reduceat(dense, bounds)
        scores = self._mix(near, np.maximum.reduceat(lexical, bounds))
        named = np.array([self._titles[entry] == frozenset(words) for entry in entries])
        scores += named * self._weights.name * (1 - scores)
        scores = trusted_first(scores, self._unvetted[entries])
        mixed = self._mix(dense, lexical)
        found: list[Evidence] = []
        asked = frozenset(words)
        held = [
            n
            for n, entry in enumerate(entries)
            if self._titles[entry] and self._titles[entry] <= asked
        ]
        for place in _best(scores, held, k):
            entry = int(entries[place])
            span = mixed[bounds[place] :][: starts[entry + 1] - starts[entry]]
            quoted = (
                self._quote(entry, span, OTHER_PASSAGES)
                if found
                else self._read(entry, vector, span)
            )
            one = self._evidence(entry, quoted[0], float(scores[place]), None)
            found.append(dataclasses.replace(one, nearest=quoted[1]))
        return with_agreement(found, self.encoder)

    def _encode(self, text: str) -> tuple[Vectors, list[str]]:
        text = text[:MAX_QUERY_CHARS].strip()
        if not text:
            raise QueryError("expected words in a text query, got an empty string")
        return self.encoder.encode_text([text]), search_words(text)

    def _candidates(
        self, vector: Vectors, words: Sequence[str], k: int, admitted: Allowed | None
    ) -> Numbers:
        """Entries worth scoring: near by entity vector, near by passage, or sharing words."""
        store, count = self.store, max(CANDIDATES, k)
        near = store.entity.search(vector, count, admitted)[1][0]
        of_passages = None if admitted is None else admitted[self._owner]
        passages = store.passage.search(vector, count, of_passages)[1][0]
        lexical = store.words.scores(words)
        if of_passages is not None:
            lexical = lexical * of_passages
        top = np.argpartition(-lexical, min(count, lexical.size) - 1)[:count]
        top = top[lexical[top] > 0]
        parts = [near[near >= 0], self._owner[passages[passages >= 0]], self._owner[top]]
        return np.unique(np.concatenate(parts)).astype(np.int64)

    def _passage_scores(
        self, entries: Numbers, vector: Vectors, words: Sequence[str]
    ) -> tuple[Vectors, Vectors]:
        """Cosine and BM25 of every passage of the entries, in order.

        A passage without a vector takes the lowest cosine of its entry, so only words raise it.
        """
        store, total = self.store, len(self.store.entries)
        numbers = np.concatenate([np.arange(store.starts[e], store.starts[e + 1]) for e in entries])
        has = store.passage.has(numbers)
        dense = np.full(len(numbers), np.inf, np.float32)
        dense[has] = store.passage.vectors(numbers[has]) @ vector[0]
        owner = self._owner[numbers]
        floor = np.full(total, np.inf, np.float32)
        np.minimum.at(floor, owner, dense)
        return np.where(has, dense, floor[owner]), store.words.scores(words)[numbers]

    def _mix(self, dense: Vectors, lexical: Vectors) -> Vectors:
        return (1 - self._weights.words) * dense + self._weights.words * lexical

    def _class_vectors(self, classes: Sequence[Sequence[str]]) -> Vectors:
        stored = self.store.class_vectors
        if stored is not None and self.store.classes == class_keys(classes):
            return stored
        return class_vectors(self.encoder, classes)

    def _read(self, entry: int, vector: Vectors, likely: Vectors) -> tuple[str, tuple[str, ...]]:
        """The passages of an entry that are nearest to a question, read with the title before them.

        Of many, those that the index finds `likely` ([passages]) are read: the last line of a long
        list may be the one.

        "It is an obligate carnivore" says nothing of cats until it is read under "Cat", and the
        index holds it without; the best entry is short enough to be read again.
        """
        found = self.store.entries[entry]
        read = np.argsort(-likely, kind="stable")[:MAX_READ]
        shown = [f"{found.title}. {found.passages[number]}" for number in read]
        near = np.full(len(found.passages), -np.inf, np.float32)
        near[read] = self.encoder.encode_text(shown) @ vector[0]
        return self._quote(entry, near, FIRST_PASSAGES)

    def _quote(self, entry: int, scores: Vectors, count: int) -> tuple[str, tuple[str, ...]]:
        """The best passages of an entry in their own order, with its years; and best first."""
        best: list[int] = np.argsort(-scores, kind="stable")[:count].tolist()
        found = self.store.entries[entry]
        dated = [found.dated] if found.dated else []
        told = [quote(found.passages[number]) for number in sorted(best)]
        nearest = (*(quote(found.passages[number]) for number in best), *dated)
        return " ".join([*told, *dated]), nearest

    def _evidence(self, entry: int, text: str, score: float, box: Box | None) -> Evidence:
        found = self.store.entries[entry]
        source = found.url or self.store.metadata.sources[entry]
        return Evidence(found.id, found.title, text, score, source, box, tier=found.tier)


def _best(scores: Vectors, held: Sequence[int], k: int) -> list[int]:
    """The k best places, best first; the last one is the best of `held` where none of them is in.

    What a question names in full ("the population of Germany") is worth reading even where longer
    texts about its parts score higher.
    """
    order = np.argsort(-scores, kind="stable")
    best = [int(place) for place in order[:k]]
    if k > 1 and held and not set(held) & set(best):
        best[-1] = next(int(place) for place in order if int(place) in set(held))
    return best
