"""What is looked at before an entry is indexed: echoes of questions, and orders to an assistant.

A page that holds the very question that it wants to answer is near to it whatever else it says
(PoisonedRAG, Zou et al., 2024, its black-box attack: "question. claim"). Questions are left out of
the passages of unvetted pages; notes and sources that somebody answers for may ask and answer. Text
that tells an assistant what to do is kept and counted: it is quoted, never obeyed.
"""

import dataclasses
import re

from retrieval.sources.entries import Entry, Knowledge, RefusedRow

_ASKS = (
    r"(?:who|whom|whose|what|which|when|where|why|how|is|are|was|were|do|does|did|can|could|will|"
    r"would|should|has|have|had|may|might|shall|am|isn't|aren't|wasn't|don't|doesn't|didn't|can't|"
    r"(?:in|on|at|of|by|from|to|for|with|about)\s+(?:which|what|whom|whose)|"
    r"(?:please\s+)?tell\s+me|name)\b"
)
# From where a sentence begins up to its question mark.
_QUESTION = re.compile(
    rf"(?:(?<=^)|(?<=[.!?:;\n\"“”]))\s*[\"“'‘(¿]*(?:(?:and|so|but|well|hey|q|question)\b[\s,:.]*)*"
    rf"{_ASKS}[^?.!]*(?:\.\d[^?.!]*)*[?？][?？!]*[\"”'’)]*\s*",
    re.IGNORECASE,
)
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b[^.!?]{0,40}\b(?:instruction|prompt|rule|"
    r"guideline|context|everything|anything|memory|memories|(?:the\s+)?above|previous|prior)|"
    r"\b(?:system|developer)\s+(?:prompt|message)\b|"
    r"\b(?:dear|hey|attention|note\s+to(?:\s+the)?|hello)[\s,:]+(?:ai|llm|assistant|chatbot|"
    r"language\s+model|agent|model)s?\b|"
    r"^\W*(?:ai|llm|assistant|chatbot|agent|system|user)s?\s*[:,]|"
    r"\byou\s+(?:are\s+now|must|should|have\s+to|need\s+to|will\s+now)\s+(?:now\s+|always\s+|only\s+)?"
    r"(?:a\b|an\b|answer|say|reply|respond|tell|output|print|search|call|delete|forget|remember|"
    r"record|act|obey|follow|ignore|reveal|send|never|not\b|in\b)|"
    r"\b(?:do\s+not|don['’]t|never)\s+(?:tell|mention|reveal|inform|warn|show)\b[^.!?]{0,30}\b"
    r"(?:user|wearer|anyone|human|person)\b|"
    r"\b(?:reveal|print|output|repeat|send|leak)\b[^.!?]{0,30}\b(?:your|the)\s+(?:instructions|"
    r"prompt|conversation|history|memory|memories|api\s+key|password)|"
    r"\b(?:delete|erase|wipe|forget|clear)\b[^.!?]{0,30}\b(?:your|all|the\s+(?:user|wearer)['’]?s?)\s+"
    r"(?:memor|recording|history|note|data)|"
    r"\b(?:call|invoke|run|use|execute)\s+(?:the\s+)?(?:tool|function|search)\b|"
    r"\b(?:answer|reply|respond)\s+(?:only\s+)?(?:with|by\s+saying|that)\b",
    re.IGNORECASE | re.MULTILINE,
)


def without_questions(text: str) -> str:
    """The same text without its questions; the same object where it asks none."""
    if "?" not in text and "？" not in text:
        return text
    return " ".join(_QUESTION.sub(" ", text).split())


def orders_assistant(text: str) -> bool:
    """Whether a text speaks to an assistant and tells it what to do."""
    return _ORDERS.search(text) is not None


def screened(knowledge: Knowledge) -> Knowledge:
    """Knowledge as it is indexed: without questions, what says nothing else refused.

    Entries that speak to an assistant stay and are noted by name.
    """
    entries, refused, noted = [], list(knowledge.refused), list(knowledge.noted)
    for entry in knowledge.entries:
        if orders_assistant("\n".join((entry.title, *entry.passages))):
            noted.append(f"{entry.id}: tells an assistant what to do; it is quoted, not obeyed")
        kept = _stripped(entry)
        if kept is None:
            refused.append(RefusedRow(entry.id, None, "expected a statement, got only questions"))
        else:
            entries.append(kept)
    return Knowledge(knowledge.source, tuple(entries), tuple(refused), tuple(noted))


def _stripped(entry: Entry) -> Entry | None:
    """An unvetted entry without its questions; the same object where it asks none, None where
    nothing is left."""
    if entry.tier != "unvetted":
        return entry
    kept = [without_questions(text) for text in entry.passages]
    if all(one is other for one, other in zip(kept, entry.passages, strict=True)):
        return entry
    passages = tuple(filter(None, kept))
    return dataclasses.replace(entry, passages=passages) if passages else None
