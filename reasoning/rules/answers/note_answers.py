"""What the wearer's own notes tell: asked first, whatever a question seems to ask for.

Whether notes know the words of a question costs one look into a small index. Only where they do is
a search made, and only what tells enough is said (`reasoning.verification.note_support`); all else
is answered as if there were no notes.
"""

import re
from collections.abc import Generator
from typing import Protocol

from perception.scene.colour import colours_of
from perception.scene.reader import GroundedRegion
from reasoning.generation.config import PolicyConfig
from reasoning.generation.tokens import neutralise
from reasoning.rules.evidence_wording import cite, plain, said
from reasoning.rules.parsing import pointed_noun, points, resolve
from reasoning.rules.policy import Action
from reasoning.rules.script import LIKELY, Say, ScriptPiece, ScriptState, SearchFor
from reasoning.verification.note_support import NoteSupport
from reasoning.verification.rerank import Support
from retrieval.sources.sentences import search_words
from stream.events import Evidence, Query

NAMED = 0.15  # probability of a name in view from which it is a hint at what is meant
# What sight alone tells: a note must be surer to speak in its place.
SEEN: tuple[Action, ...] = ("name", "list", "read", "check", "count", "look", "state", "talk")
SURER = 0.5  # from which next to nothing untold was said (`benchmarks.notes_fit`)


_NAMED = re.compile(  # "Whose coat is that?"
    r"\b(?:whose|which|what)\s+[^\W\d_]+\s+(?:is|are|was|were)\s+(?:this|that|these|those)\b", re.I
)


class OwnNotes(Protocol):
    """The part of a searcher that knows what the wearer wrote."""

    def search_own(self, query: Query) -> list[Evidence]:
        """Own entries that have to do with a query's words; best first."""


class NoteAnswers:
    """Says what own notes tell."""

    def __init__(self, notes: OwnNotes, support: NoteSupport, policy: PolicyConfig) -> None:
        self._notes, self._support, self._policy = notes, support, policy

    def tell(
        self, turn: ScriptState, question: str, action: Action
    ) -> Generator[ScriptPiece, None, bool]:
        """Say what notes tell and give True, or give False with nothing said.

        `action` is what would be done without notes.
        """
        query, looks = _words(turn, question)
        if not (turn.may_search and self._policy.text and search_words(query)):
            return False
        if not self._notes.search_own(Query("text", query)):
            return False
        yield SearchFor(query)
        turn.noted = query
        ranked = self._support.rank(query, turn.evidence, looks)
        best = next(iter(ranked), None)
        if best is None or not best.fits or (action in SEEN and best.score < SURER):
            return False
        turn.subject = best.evidence.title
        yield Say(_told(best))
        return True


def _words(turn: ScriptState, question: str) -> tuple[str, tuple[str, ...]]:
    """What is searched for, and words for the looks of what is pointed at.

    "It" is what was talked about, "this" what is surely named in view; a noun of the wearer's own
    ("this mug") needs no other name.
    """
    pointed = points(question)
    if turn.subject and pointed:
        return resolve(question, plain(turn.subject)), ()
    focus = turn.focus
    if focus is None or not (pointed or turn.prompt.question.point is not None):
        return question, ()
    named = pointed_noun(question) or _NAMED.search(question)
    if pointed and not named and focus.score >= LIKELY:
        question = resolve(question, focus.names[0].label)
    return question, _looks(turn, focus)


def _looks(turn: ScriptState, focus: GroundedRegion) -> tuple[str, ...]:
    names = [name.label for name in focus.names if name.probability >= NAMED]
    if not focus.mask.any():
        return tuple(names)
    return (*colours_of(turn.prompt.view.frame.image, focus.mask), *names)


def _told(support: Support) -> str:
    """The passage as a sentence of its own, with the note that it is from."""
    words = said(neutralise(support.sentence)).strip()
    ended = words if words.endswith((".", "!", "?", "…")) else f"{words}."
    return f"{ended[0].upper()}{ended[1:]}{cite(support.evidence)}"
