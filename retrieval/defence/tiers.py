"""Whom to believe: unvetted pages stand behind vetted ones, and alone they are only quoted.

A planted page may be as near to a question as an honest one: nothing in its words tells them apart
(docs/log.md). What can be told is who answers for a source, and whether another one says the same.
"""

import dataclasses
from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from retrieval.defence.facts import names, numbers, said_numbers
from retrieval.encoders.text import TextEncoder, Vectors
from retrieval.sources.sentences import search_words
from stream.events import Evidence

RELEVANT = 0.45  # score from which a vetted entry is about what is asked (docs/log.md)
BEHIND = 0.01  # the scores of unvetted entries lie so close together below it
SAYS_SAME = 0.7  # cosine from which two sentences may say the same


def trusted_first(scores: Vectors, unvetted: npt.NDArray[np.bool_]) -> Vectors:
    """[N] scores with the unvetted ones below each trusted one that is about what is asked.

    Unvetted entries keep their order, and their scores where no trusted entry is relevant.
    """
    trusted = scores[~unvetted]
    if not unvetted.any() or not trusted.size or trusted.max() < RELEVANT:
        return scores
    lowered = RELEVANT - BEHIND * (2 - scores)
    return np.where(unvetted & (scores >= lowered), lowered, scores).astype(np.float32)


def with_agreement(found: Sequence[Evidence], encoder: TextEncoder) -> list[Evidence]:
    """The same evidence; unvetted ones bear the names of other sources that say the same."""
    if all(one.tier != "unvetted" for one in found):
        return list(found)
    claims = [_claim(one) for one in found]
    vectors = encoder.encode_text(claims)
    alike = vectors @ vectors.T
    marked = []
    for number, one in enumerate(found):
        agreed = [
            site(other)
            for place, other in enumerate(found)
            if one.tier == "unvetted"
            and alike[number, place] >= SAYS_SAME
            and _independent(one, other, claims[number], claims[place])
            and _same_facts(claims[number], f"{other.title} {claims[place]}", one.title)
        ]
        marked.append(dataclasses.replace(one, agreed=tuple(dict.fromkeys(agreed))))
    return marked


def site(evidence: Evidence) -> str:
    """Who answers for evidence: the host of its address, or the index it is of."""
    host = urlsplit(evidence.source).hostname or ""
    return host.removeprefix("www.") or evidence.source


def _claim(evidence: Evidence) -> str:
    return evidence.nearest[0] if evidence.nearest else evidence.text


def _independent(one: Evidence, other: Evidence, said: str, told: str) -> bool:
    """Whether two sources are two: another site, and no copy of the same words."""
    return site(one) != site(other) and search_words(said) != search_words(told)


def _same_facts(claim: str, told: str, title: str) -> bool:
    """Whether each number and name of a claim is told, those of its own title aside."""
    known = set(search_words(told)) | set(search_words(title))
    return numbers(claim) <= said_numbers(told) and names(claim) <= known
