"""Reads standing questions: "tell me when you see the milk", "if I leave without my umbrella".

What is only a question about now or about the world ("tell me when Easter is") is none. What asks
to be told of something that nobody here can watch is one, with the reason why it is refused.
"""

import re
from dataclasses import dataclass
from typing import Literal

WatchKind = Literal["see", "again", "sequence", "leave"]

MAX_CHARS, MAX_WORDS = 80, 6  # of the words for one thing
EVENTS = (
    "I cannot tell you when {}: I can only watch for things that come into view, not for what "
    "happens to them."
)
PEOPLE = (
    "I do not recognise people, so I cannot watch for {}. I can tell you when any person comes "
    "into view."
)
NOTHING = "Tell me what to watch for, such as: tell me when you see a cup."

_TELL = (
    r"(?:(?:please|and|so|hey|ok(?:ay)?|now|then|also|just)[, ]+)*"
    r"(?:(?:can|could|will|would) you (?:please )?|i(?:'d| would) like you to |i want you to )?"
    r"(?:please )?(?:just )?"
    r"(?:tell me|let me know|notify me|alert me|warn me|remind me|inform me|ping me|give me a shout"
    r"|say something|speak up|shout|beep)"
)
_WHEN = (
    r"(?P<when>when(?:ever)?|if|once|as soon as|every ?time(?: that)?|each time(?: that)?"
    r"|the moment|the next time|next time|any ?time|should)"
)
_TELL_FIRST = re.compile(rf"{_TELL},? {_WHEN} (?P<clause>.+)", re.I)
_TELL_LAST = re.compile(rf"{_WHEN} (?P<clause>.+?),? {_TELL}(?: (?:about it|so|that|then))?", re.I)
_WATCH_FOR = re.compile(
    r"(?:please )?(?:(?:can|could|will|would) you )?(?:please )?"
    r"(?:watch(?: out)? for|look out for|keep (?:watch|looking|an eye out) for"
    r"|be on the lookout for)"
    r" (?P<clause>.+)",
    re.I,
)
_NEVER_LEAVE = re.compile(
    r"(?:please )?(?:(?:do not|don't|never) let me (?:leave|go(?: out)?|forget)"
    r"|(?:tell|remind|warn|alert) me not to (?:leave|go(?: out)?|forget))"
    r"(?: (?:the |my )?(?:house|home|room|office|flat|place))?(?: without)? (?P<thing>.+)",
    re.I,
)
_LEAVE = re.compile(
    r"i(?:'m| am)? (?:leave|leaving|go(?:ing)?(?: out| away| outside)?"
    r"|walk(?:ing)? (?:out|away|off)|head(?:ing)? out|step(?:ping)? out|forget)"
    r"(?: (?:the|my|this|a|home)(?: \w+)?)?(?: without (?:taking |having )?)? ?(?P<thing>.+)",
    re.I,
)
_LEAVE_PLAIN = re.compile(r"(?:if|when(?:ever)?) i (?:leave|go out|forget).* without .+", re.I)
_SEE = re.compile(
    r"(?:(?:you|we|i|u) (?:can |could |do |ever |next |first |happen to )*"
    r"(?:see|spot|notice|find|recogni[sz]e|detect|come across|pass|meet|catch sight of)"
    r"|there(?:'s| is| are| comes?)|(?:you|we) are (?:looking at|near))(?: (?P<thing>.+))?",
    re.I,
)
_APPEARS = re.compile(
    r"(?P<thing>.+?) (?:(?:is|are|comes?|gets?) (?:back )?(?:in(?:to)?|within) "
    r"(?:view|sight|the picture|the frame)|appears?|shows? up|turns? up"
    r"|is visible|are visible|is (?:here|there|back)"
    r"|comes? back|arrives?|comes? (?:by|in|along|here|round))(?: again)?",
    re.I,
)
_THEN = re.compile(r"(?:,? and then |,? then |,? followed by |,? and after(?:wards| that) )", re.I)
_AFTER = re.compile(
    r"(?P<second>.+) (?:right |soon |just )?after (?:you (?:see|saw) )?(?P<first>.+)", re.I
)
_AGAIN = re.compile(
    r"(?:it|this|that|them|these|those|this one|that one|(?:this|that) (?:thing|object|one|\w+))"
    r"(?P<again> again| once more| next)?|(?P<known>the same (?:thing|one|\w+))(?: again)?",
    re.I,
)
_STOP = re.compile(
    r"(?:please )?(?:you can |you may )?(?:stop|quit|no longer|cancel|end|drop"
    r"|don't|do not|no need to)"
    r" (?:(?:the |my |your |all |all my |any )*(?:watch(?:es)?|alerts?|reminders?"
    r"|standing questions?)(?: (?:for|about|on) (?P<named>.+))?"
    r"|(?:watch(?:ing)?|look(?:ing)?|keep(?:ing)? (?:watch|an eye))(?: out)?(?: for (?P<thing>.+))?"
    r"|(?:telling|alerting|warning|reminding|notifying|tell|alert|warn|remind|notify) me"
    r"(?: (?:about|of|when|if|whenever)(?: (?:you|i) (?:see|leave without))?)? (?P<told>.+))",
    re.I,
)
_ALL = re.compile(r"everything|anything|all(?: of (?:it|them))?", re.I)
_LIST = re.compile(
    r"(?:what|which things?) (?:are you|do you) (?:still )?(?:watch(?:ing)?|look(?:ing)? out)"
    r"(?: out)?(?: for)?(?: (?:me|now|right now|at the moment))*"
    r"|(?:list|show(?: me)?|tell me|what are)(?: all)?(?: of)? (?:my|the|your) "
    r"(?:watches|alerts|reminders|standing questions)"
    r"|are you (?:still )?watching(?: out)? for (?:anything|something|.+)",
    re.I,
)
_PAST = re.compile(
    r"\b(?:was|were|did|had|has been|have been|been|born|died|built|made|invented)\b", re.I
)
_HAPPENS = re.compile(
    r"(?:the|my|your|our|a|an|it|he|she|they|somebody|someone|anybody|anyone)(?: [\w']+){0,4}? "
    r"(?:(?:is|are|has|have) )?(?:[a-z]+(?:s|ing|ed)|ready|done|empty|full|open|closed|green|red"
    r"|hot|cold)\b.*",
    re.I,
)
_LEADING = re.compile(
    r"^(?:(?:an?|the|some|any|my|your|our|another|one of|of|is|are|be|for)(?:\s+|$))+", re.I
)
_TRAILING = re.compile(
    r"[\s,]*\b(?:again|anywhere|somewhere|please|for me|next time|in view|coming|around|here|too"
    r"|any ?more|at all|thanks|thank you|with me)$",
    re.I,
)
_RELATIVES = re.compile(
    r"\b(?:him|her|me|myself|yourself|you|(?:my|your|our|his|their) (?:[\w]+ )?"
    r"(?:wife|husband|partner|mother|mom|mum|father|dad|son|daughter|brother|sister|friend|boss|colleague"
    r"|neighbou?r|uncle|aunt|cousin|grand\w+|girlfriend|boyfriend|child|kid|baby|doctor|teacher)s?"
    r"|(?:\w+ )*(?:named|called) \w+|mr\.?|mrs\.?|ms\.?|dr\.?)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What is to be told. `again` is the thing that is pointed at; it has no words."""

    kind: WatchKind
    things: tuple[str, ...]  # plain words, in the order in which they are to be seen
    repeats: bool = False  # told every time; else once


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Watch for this no longer; for nothing, without words."""

    thing: str = ""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What is watched for?"""


@dataclass(frozen=True, slots=True)
class Unwatchable:
    """A standing question that nobody here can keep, and why."""

    reason: str


StandingRequest = WatchRequest | CancelRequest | ListRequest | Unwatchable


def read_request(text: str) -> StandingRequest | None:
    """What a wearer's words ask to be told later, to list or to stop; None for other questions."""
    said = re.sub(r"\s+", " ", text.replace("\u2019", "'")).strip(' .!?,;:"')
    if _LIST.fullmatch(said):
        return ListRequest()
    stopped = _STOP.fullmatch(said)
    if stopped:
        thing = stopped["named"] or stopped["thing"] or stopped["told"] or ""
        return CancelRequest("" if _ALL.fullmatch(thing) else plain(thing))
    never = _NEVER_LEAVE.fullmatch(said)
    if never:
        return _leave(never["thing"])
    found = _TELL_FIRST.fullmatch(said) or _TELL_LAST.fullmatch(said)
    if found:
        return _clause(found["clause"].strip(" ,"), found["when"].lower())
    watched = _WATCH_FOR.fullmatch(said)
    if watched:
        return _things(watched["clause"], repeats=False)
    if _LEAVE_PLAIN.fullmatch(said):
        return _clause(said.split(" ", 1)[1], "if")
    return None


def plain(thing: str) -> str:
    """The words for a thing without articles and what only points in time."""
    words, before = thing.strip(' .!?,;:"'), ""
    while words != before:
        before = words
        words = _LEADING.sub("", _TRAILING.sub("", words)).strip(" ,")
    return words


def _clause(clause: str, when: str) -> StandingRequest | None:
    repeats = when.replace(" ", "") in ("whenever", "everytime", "eachtime", "anytime") or (
        when.startswith(("every", "each", "any"))
    )
    leaves = _LEAVE.fullmatch(clause)
    if leaves and re.search(r"\bwithout\b|\bforget\b", clause, re.I):
        return _leave(re.split(r"\bwithout\b|\bforget\b", clause, flags=re.I)[-1])
    if _PAST.search(clause):
        return None  # of the world: "when the Eiffel tower was built"
    seen = _SEE.fullmatch(clause)
    if seen and (when != "if" or not clause.lower().startswith("there")):
        return _things(seen["thing"] or "", repeats)
    shown = _APPEARS.fullmatch(clause)
    if shown and (when != "if" or not re.search(r"\b(?:is|are) (?:here|there)$", clause, re.I)):
        return _things(shown["thing"], repeats)
    if when not in ("if", "should") and _HAPPENS.fullmatch(clause):
        return Unwatchable(EVENTS.format(_yours(clause)))
    return None


def _things(words: str, repeats: bool) -> StandingRequest:
    parts = [part for part in _THEN.split(words) if part.strip()] or [""]
    after = _AFTER.fullmatch(words)
    if after and len(parts) == 1:
        parts = [after["first"], after["second"]]
    again = _AGAIN.fullmatch(words.strip()) if len(parts) == 1 else None
    if again and words and (again["again"] or again["known"] or len(words.split()) <= 2):
        return WatchRequest("again", (), repeats)
    parts = [re.sub(r"^(?:first|you see|you saw|see|saw)\s+", "", part.strip()) for part in parts]
    for part in parts:
        if refusal := _refusal(part):
            return Unwatchable(refusal)
    kind: WatchKind = "see" if len(parts) == 1 else "sequence"
    return WatchRequest(kind, tuple(plain(part) for part in parts), repeats)


def _leave(words: str) -> StandingRequest:
    thing = words
    if refusal := _refusal(thing):
        return Unwatchable(refusal)
    return WatchRequest("leave", (plain(thing),), repeats=True)


def _refusal(thing: str) -> str:
    """Why these words cannot be watched for, whatever is seen; empty where they may be."""
    if _RELATIVES.search(thing):
        return PEOPLE.format(_yours(_TRAILING.sub("", thing.strip())))
    words = plain(thing)
    if not any(char.isalnum() for char in words):
        return NOTHING
    if len(words) > MAX_CHARS or len(words.split()) > MAX_WORDS:
        return f"Tell me in a word or two what to watch for, not in {len(words.split())} words."
    return ""


def is_name(thing: str, text: str) -> bool:
    """Whether a thing's words look like somebody's name: written large, with no article before."""
    words = thing.split()
    large = bool(words) and all(word[:1].isupper() for word in words)
    return large and not re.search(rf"\b(?:an?|the|some|any|my)\s+{re.escape(thing)}", text, re.I)


def _yours(words: str) -> str:
    swapped = {"my": "your", "me": "you", "i": "you", "your": "my", "you": "me"}
    return re.sub(
        r"\b(?:my|me|i|your|you)\b", lambda match: swapped[match[0].lower()], words, flags=re.I
    )
