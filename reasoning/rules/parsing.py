"""English questions: what they name and what they point at; and a few words of English."""

import re

_ASKS = re.compile(
    r"^(?:please\s+)?(?:"
    r"where(?:['’]s|\s+(?:is|are|did\s+i\s+(?:put|leave)))|(?:on\s+)?which\s+side\s+(?:is|are)|"
    r"(?:can|could)\s+you\s+(?:find|see|show\s+me)|find|show\s+me|point\s+(?:out|at)|locate|"
    r"is\s+there|are\s+there|do\s+you\s+see|can\s+i\s+see|do\s+i\s+have|is\s+(?:this|that|it)|"
    r"are\s+(?:these|those|they)|how\s+many|count|what\s+is\s+the\s+number\s+of|"
    r"(?:is|are)\s+(?:(?:the\s+)?\w+\s+)?(?:wearing|holding|carrying|using)|"
    r"(?:is|are)(?=\s+(?:a|an|any|some)\s|\s+(?:any|some)(?:one|body|thing)\b)|do(?:es)?\s+(?:i|you|he|she|it|they)\s+have"
    r")\s+(?:(?:a|an|the|my|your|his|her|any|some|all|one)\s+)*",
    re.IGNORECASE,
)
_ARTICLED = re.compile(
    r"\b(?:the|a|an|my|any|some)\s+(?P<noun>[^\W\d_]+(?:\s+[^\W\d_]+){0,2}?)(?=[\s?.!]*$|"
    r"\s+(?:is|are|was|were|do|does|in|on|at|of|look|looks|made|here|there|from|with|and|or)\b)",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"^(?:what|where|who|whom|whose|when|why|how|which|is|are|was|were|do|does|did|can|could|"
    r"will|would|should|has|have|tell|and)\b",
    re.IGNORECASE,
)
_STATE = re.compile(
    r"^\s*(?:is|are|was|were)\s+(?:the|my|his|her|their)\s+(?P<thing>[^\W\d_]+(?:\s+[^\W\d_]+)??)\s+"
    r"(?P<state>(?:(?:turned|switched|still|too|very|quite|so|almost|already|more|[^\W\d_]+ly)\s+)*"
    r"[^\W\d_]+(?:\s+(?:or|and)\s+[^\W\d_]+)?)[\s?.!]*$",
    re.IGNORECASE,
)
_OWNED = re.compile(
    r"\b(?:(?:his|her|their|its)\s+(?P<own>[^\W\d_]+)|(?P<part>[^\W\d_]+)\s+of\s+(?=(?:the|this|that)\b))",
    re.IGNORECASE,
)
_COLOUR_OF = re.compile(
    r"\bcolou?r\s+(?:(?:is|are|does|do|has|have|of)\s+)+(?:the|my|this|that|these|those|his|her|their|its)?"
    r"\s*(?P<thing>[^\W\d_]+(?:\s+[^\W\d_]+)??)(?:\s+(?:have|has|here|now|on|in|at)\b.*)?[\s?.!]*$|"
    r"^\s*(?:is|are)\s+(?:the|my|his|her|their)\s+(?P<what>[^\W\d_]+(?:\s+[^\W\d_]+)??)\s+"
    r"(?:red|orange|yellow|green|turquoise|blue|purple|pink|brown|beige|white|black|gr[ae]y)\b",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\b(?P<kind>bigger|larger|smaller)\b\W+(?:the\s+)?(?P<one>[^\W\d_]+(?:\s[^\W\d_]+)??)\s+or\s+"
    r"(?:the\s+)?(?P<other>[^\W\d_]+(?:\s[^\W\d_]+)??)[\s?.!]*$|"
    r"^\s*is\s+the\s+(?P<first>[^\W\d_]+)\s+(?P<how>bigger|larger|smaller)\s+than\s+the\s+"
    r"(?P<than>[^\W\d_]+)",
    re.IGNORECASE,
)
_POINTING_ONLY = frozenset(
    {"it", "this", "that", "one", "these", "those", "they", "thing", "is", "he", "she"}
)
MAX_NOUN_WORDS = 5
# Auxiliary verbs and adverbs of how often: what begins a relative clause after "that".
_JOINED = re.compile(
    r"\s+(?:is|are|was|were|has|have|had|does|do|did|can|could|will|would|may|might|must|should|"
    r"ever|never|always|often|usually|sometimes|rarely|once)\b",
    re.I,
)
_BEFORE_THING = frozenset(
    (
        *("is", "was", "are", "were", "do", "does", "did", "can", "could", "will", "would", "has"),
        *("have", "what", "how", "why", "when", "where", "who", "think", "know", "say", "and"),
    )
)
_PLURALS = frozenset({"people", "men", "women", "children", "mice", "feet", "teeth", "geese"})
_TAIL = re.compile(
    r"\s+(?:on|in|at|near|under|behind|here|there|around|do|does|did|are|is|can|could|to\s+\w+|"
    r"of\s+me|right\s+now|now)\b.*$|[?.!,;]+.*$",
    re.IGNORECASE,
)
# After "this" these begin no noun: "where was this made", "what was this for".
_NO_NOUN = frozenset(
    re.findall(
        r"\w+",
        "is are was were be been do does did has have had can could will would should may might "
        "and or on in at of for from with to by as it made used called first come came originate "
        "originated invented discovered built designed grown eaten found kept held sold taken "
        "known born worth run work works like look "
        "looks mean taste s here there so good bad important special ",
    )
)
_POINTED = re.compile(
    r"\b(?P<point>this|that|these|those)\b(?:\s+(?P<noun>[^\W\d_]+))?|\bits\b|\bit\b", re.IGNORECASE
)
# "Does this weigh much?": after such a verb the word is a verb too, unless one follows.
_DO_BEFORE = re.compile(r"\b(?:do|does|did|can|could|will|would|should|may|might)\s+$", re.I)
_BE_BEFORE = re.compile(r"\b(?:is|are|was|were|be|been)\s+$", re.I)
_NO_VERB_AFTER = re.compile(
    r"\s*(?:[?.!,;]|$)|\s+(?:to|of|on|in|for|from|with|without|at|by|as|and|or|best|most|much)\b",
    re.I,
)


def named_thing(question: str) -> str:
    """The thing a locating, counting or yes-no question names ("Find the kettle." -> "kettle")."""
    line = " ".join(question.split())
    begun = _ASKS.match(line)
    if begun is None and _QUESTION.match(line):
        found = _ARTICLED.search(line)
        return found.group("noun").lower() if found else pointed_noun(line)
    rest = line[begun.end() :] if begun else line
    thing = _TAIL.sub("", rest).strip(" '\"").lower()
    # A long rest is no name of a thing, only what else was said.
    return thing if len(thing.split()) <= MAX_NOUN_WORDS and thing not in _POINTING_ONLY else ""


def state_of(question: str) -> tuple[str, str]:
    """A thing and the state that is asked for ("Is the door open?"), or empty strings."""
    match = _STATE.match(question)
    return (match.group("thing").lower(), match.group("state").lower()) if match else ("", "")


def owned_part(question: str) -> tuple[str, str]:
    """Of a question for a colour: the part that is meant ("its eyes"), and the thing."""
    match = _COLOUR_OF.search(question)
    thing = ((match.group("thing") or match.group("what") or "") if match else "").lower()
    owned = _OWNED.search(question)
    if owned is not None and owned.group("part") and "colo" not in owned.group("part").lower():
        return owned.group("part").lower(), ""
    if owned is not None and owned.group().lower().startswith("its "):
        return owned.group().lower(), ""
    return "", "" if set(thing.split()) & _POINTING_ONLY else thing


def compared(question: str) -> tuple[str, str, str] | None:
    """bigger, larger or smaller, and the two things that are compared."""
    match = _COMPARED.search(question)
    if match is None:
        return None
    found = match.groupdict()
    one, other = found["one"] or found["first"], found["other"] or found["than"]
    return (found["kind"] or found["how"]).lower(), one.lower(), other.lower()


def plural(phrase: str) -> bool:
    """Whether a phrase names several things."""
    last = (phrase.lower().split() or [""])[-1]
    return last in _PLURALS or (
        len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "us", "is"))
    )


def pointed_noun(question: str) -> str:
    """The noun after a pointing word ("What brand is this car?" -> "car"), or an empty string."""
    for match in _POINTED.finditer(question):
        if _has_noun(match) and not _relative(match):
            return match.group("noun").lower()
    return ""


def points(question: str) -> bool:
    """Whether the question points at something in view or in the talk."""
    return any(not _relative(match) for match in _POINTED.finditer(question))


def resolve(question: str, subject: str) -> str:
    """Put a subject in the place of the first pointing words ("it" -> "coffee")."""

    done = False

    def put(match: re.Match[str]) -> str:
        nonlocal done
        if done or _relative(match):
            return match.group()
        done = True
        if match.group().lower() == "its":
            return f"{subject}'s"
        noun = match.group("noun")
        return f"{subject} {noun}" if noun and not _has_noun(match) else subject

    return _POINTED.sub(put, question)


def _relative(match: re.Match[str]) -> bool:
    """Whether "that" only joins: "the bridge that was never built"."""
    if match.group("point") is None or match.group("point").lower() != "that":
        return False
    before = match.string[: match.start()].split()
    joined = _JOINED.match(match.string[match.start() + len("that") :])
    return bool(before) and joined is not None and before[-1].lower() not in _BEFORE_THING


def _has_noun(match: re.Match[str]) -> bool:
    """Whether the word after a pointing word is a noun: "does this animal eat", "does this eat"."""
    noun = match.group("noun")
    if not noun or noun.lower() in _NO_NOUN:
        return False
    before, after = match.string[: match.start()], match.string[match.end() :]
    if _DO_BEFORE.search(before) and _NO_VERB_AFTER.match(after):
        return False
    return not (_BE_BEFORE.search(before) and noun.lower().endswith("ed"))


def with_article(name: str) -> str:
    """ "espresso" -> "an espresso"; proper names ("Mona Lisa") and plurals stay bare."""
    proper = all(word[:1].isupper() for word in name.split())
    if not name or proper or plural(name):
        return name
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def listed(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
