"""What is looked up: scripts that search by looks or with words, and say what the evidence tells.

A script reads `turn.evidence` after it has yielded a search. It says only what evidence supports,
cites it, and says that it does not know where it does not tell.
"""

from collections.abc import Generator, Iterator, Sequence

from perception.scene.class_hierarchy import fitting
from perception.scene.name_matching import Name
from perception.scene.reader import GroundedRegion, where
from reasoning.generation.config import PolicyConfig
from reasoning.generation.tokens import IMAGE, REGION, neutralise
from reasoning.rules.evidence_wording import cite, common, plain, quoted, speaks_of
from reasoning.rules.parsing import listed, pointed_noun, points, resolve, with_article
from reasoning.rules.script import (
    DONT_KNOW,
    LIKELY,
    Say,
    ScriptPiece,
    ScriptState,
    SearchFor,
)
from reasoning.verification.rerank import Support, SupportScorer, defines, names_nothing
from stream.events import Evidence

KNOWN = 0.32  # score from which region evidence names a thing
SAME = 0.75  # likeness of a name and a title from which they mean the same ("cow", "Cattle")
PERSON, PERSON_LABEL = "person", 0  # COCO's first name
CLEAR = 0.03  # by which it must lead the next entry, or the names in view must agree


class SearchAnswers:
    """Scripts that search by looks or with words."""

    def __init__(self, support: SupportScorer, policy: PolicyConfig) -> None:
        self._support, self._policy = support, policy

    def look_up_thing(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """What it is, by a search with its look."""
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        yield Say("The")
        yield Say(f" {pointed_noun(question) or 'thing'}", focus)
        yield Say(f" {where(focus, turn.prompt.view.frame.size)}")
        found = yield from self._identify(turn, focus)
        if found is not None:
            turn.subject = found.title
            yield Say(f" looks like {with_article(common(found))}.{cite(found)}")
            return
        options = [with_article(name.label) for name in focus.names[:2] if name.probability >= 0.15]
        if options:
            yield Say(f" may be {' or '.join(options)}, but I am not sure.")
        else:
            yield Say(f" is nothing I can name: {DONT_KNOW} what it is.")

    def learn_thing(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """A fact about what is in view or was talked about."""
        if turn.subject:
            asked = resolve(question, plain(turn.subject))
            yield from self._look_up(turn, asked, turn.subject)
            return
        focus = turn.focus
        if focus is None:
            yield Say(f"{DONT_KNOW}: nothing stands out in view.")
            return
        sure = focus.score >= LIKELY
        name = focus.names[0].label if sure else pointed_noun(question) or "thing"
        yield Say("The")
        yield Say(f" {name}", focus)
        found = yield from self._identify(turn, focus)
        if found is None:
            yield from self._unidentified(turn, question, name if sure else "")
            return
        turn.subject, known = found.title, with_article(common(found))
        if not sure:
            yield Say(f" looks like {known}")
        elif self._differs(found, name):
            sure = False
            # A person's region holds what the person wears and holds.
            rather = "seems to have" if name == PERSON else "looks rather like"
            yield Say(f" {rather} {known}")
        asked = resolve(question, plain(found.title))
        # The passages found by looks were chosen for the question, out of the whole entry: words
        # find the same entry again (docs/log.md).
        ranked = self._support.rank(asked, (found,), plain(found.title))
        told = self._told(ranked, asked)
        if told is not None:
            yield Say(quoted(told, asked, name, joined=sure))
        elif self._policy.reword:
            yield from self._look_up(turn, asked, found.title, name)
        elif sure:
            yield Say(f": {DONT_KNOW}. What I read about it does not say.")
        else:
            yield Say(f", but {DONT_KNOW}: what I read about it does not say.")

    def _differs(self, found: Evidence, name: str) -> bool:
        """Whether an entry is about another thing than the one that was named."""
        title = plain(found.title)
        if name == PERSON and PERSON_LABEL in fitting(title):
            return False  # a woman is a person, and nobody is told which they see
        return not speaks_of(found, name) and self._support.alike(name, title) < SAME

    def _unidentified(self, turn: ScriptState, question: str, name: str) -> Iterator[ScriptPiece]:
        """No entry was clear by looks: words find one where the name at least is sure."""
        if name and turn.may_search and self._policy.text and self._policy.search == "model":
            yield from self._look_up(turn, resolve(question, name), name, name)
        elif name:
            yield Say(f": {DONT_KNOW}. I found nothing that tells.")
        else:
            yield Say(f" in view is nothing I can name surely, so {DONT_KNOW}.")

    def _identify(
        self, turn: ScriptState, focus: GroundedRegion
    ) -> Generator[ScriptPiece, None, Evidence | None]:
        """Search by looks: the entry of what is in focus, when one is clear."""
        whole = turn.prompt.view.whole
        payload = self._payload(focus.names[:1] == whole[:1])
        if payload is None or not turn.may_search:
            return None
        yield SearchFor(payload)
        # What a note has to do with the question says nothing of looks.
        found = [one for one in turn.evidence if one.tier != "own"]
        return _identified(found, whole if payload == IMAGE else focus.names)

    def _payload(self, whole: bool) -> str | None:
        """The whole picture where nothing less is meant, else the region; None when neither may."""
        policy = self._policy
        if policy.search in ("image", "region"):
            return IMAGE if policy.search == "image" else REGION
        if policy.image and (whole or not policy.region):
            return IMAGE
        return REGION if policy.region else None

    def ask_text(self, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """A fact about what the question names."""
        name = ""
        if self._policy.search == "text" and points(question):
            # Told to search with words whatever is asked: "it" is what the wearer would name.
            name = plain(turn.subject) or (turn.focus.names[0].label if turn.focus else "")
            question = resolve(question, name) if name else question
        elif names_nothing(question) and self._policy.search == "model":
            yield Say(f"{DONT_KNOW} what you mean: please name it.")
            return
        yield from self._look_up(turn, question, name)

    def _told(self, ranked: Sequence[Support], question: str) -> Support | None:
        """The sentence that is said, or None where none tells enough.

        What a single unvetted page tells is said where no other entry tells it.
        """
        if ranked and ranked[0].evidence.alone:
            trusted = (one for one in ranked if not one.evidence.alone)
            other = next((one for one in trusted if self._support.enough(one, question)), None)
            ranked = (other or ranked[0],)
        return ranked[0] if ranked and self._support.enough(ranked[0], question) else None

    def _look_up(
        self, turn: ScriptState, query: str, subject: str, lead: str = ""
    ) -> Iterator[ScriptPiece]:
        """Search with words and say the sentence that answers, if one does.

        `lead`: what the answer's first words name, when they stand already.
        """
        read: Sequence[Evidence] = ()
        if query == turn.noted:  # asked with the notes
            read = turn.evidence
        elif turn.may_search and self._policy.text:
            yield SearchFor(query)
            read = turn.evidence
        # Own notes were judged before, by what fits notes.
        evidence = [one for one in read if one.tier != "own" or not turn.noted]
        trusted_first = sorted(evidence, key=lambda one: one.alone)
        told_of = ((one, defines(query, one)) for one in trusted_first)
        defined = (Support(one, text, 1.0) for one, text in told_of if text)
        told = next(defined, None)
        if told is None:
            ranked = self._support.rank(query, evidence, plain(subject))
            told = self._told(ranked, query)
        if told is not None:
            turn.subject = turn.subject or told.evidence.title
            yield Say(quoted(told, query, lead))
            return
        about = [neutralise(entry.title) for entry in read[:2]]
        verb = "does" if len(about) == 1 else "do"
        looked = f" I looked under {listed(about)}, which {verb} not say." if about else ""
        yield Say(f"{': ' if lead else ''}{DONT_KNOW}.{looked}")


def _identified(evidence: Sequence[Evidence], names: Sequence[Name]) -> Evidence | None:
    """The entry that names what was searched for: high enough, and clear or agreed on."""
    if not evidence or evidence[0].score < KNOWN:
        return None
    lead = evidence[0].score - evidence[1].score if len(evidence) > 1 else 1.0
    title = plain(evidence[0].title)
    agreed = any(title in name.label.lower() or name.label.lower() in title for name in names)
    return evidence[0] if agreed or lead >= CLEAR else None
