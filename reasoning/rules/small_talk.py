"""Small talk: what is said to the assistant itself, and what is no question at all."""

import re

_REPLIES = (
    (r"\b(?:thanks?|thank\s+you|cheers|great|nice|good\s+job|well\s+done)\b", "You're welcome."),
    (r"\b(?:bye|goodbye|good\s+night|see\s+you|that(?:'s|\s+is)\s+all)\b", "Goodbye."),
    (
        r"\bhow\s+are\s+you\b|\bhow(?:'s|\s+is)\s+it\s+going\b",
        "Fine, thank you. What would you like to know?",
    ),
    (
        r"\b(?:who|what)\s+are\s+you\b|\byour\s+name\b|\bintroduce\b",
        "I am Foveal, an assistant that looks through your camera.",
    ),
    (
        r"\bcan\s+you\s+(?:do|help)\b|\bhelp\b|\bwhat\s+(?:can|should|may)\s+i\s+ask\b|"
        r"\bhow\s+do\s+you\s+work\b",
        "I name what is in view, say where things are and what colour they have, read words aloud, "
        "and look facts up.",
    ),
    (
        r"\b(?:hello|hi|hey|good\s+(?:morning|day|afternoon|evening))\b",
        "Hello. What would you like to know?",
    ),
    (r"\b(?:yes|no|ok(?:ay)?|sure|right|sorry|never\s*mind|stop|wait)\b", "All right."),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), reply) for pattern, reply in _REPLIES)
NOT_UNDERSTOOD = (
    "I did not understand that. You can ask what something is, where it is, or what is known of it."
)


def reply(words: str) -> str:
    """What is said back."""
    for pattern, said in _PATTERNS:
        if pattern.search(words.replace("’", "'")):
            return said
    return NOT_UNDERSTOOD
