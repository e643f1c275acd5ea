"""What a sentence must say to answer a question: the act, the purpose, the count, the cause.

A sentence may be near a question, about its subject, and hold a name or a date, and still tell
something else: "Napoleon was emperor from 1804" does not say when he was born. For what is asked
a family of words is known, of which the sentence must hold one.
"""

import re

from reasoning.verification.answer_types import answer_type
from retrieval.sources.sentences import search_words

Family = tuple[re.Pattern[str], re.Pattern[str]]


def _family(asked: str, said: str) -> Family:
    return (
        re.compile(rf"\b(?:{asked})\b", re.IGNORECASE),
        re.compile(rf"\b(?:{said})", re.IGNORECASE),
    )


_LIVED = r"lived\s+from"  # how life years are worded (retrieval/sources/entries.py)
_SPAN = r"(?:from|between)\s+[^.]*\d|\d{3,4}[–-]\d"
# Of who, when and where questions: the act, and the words that tell it.
_ACTS = tuple(
    _family(asked, said)
    for asked, said in (
        (
            r"invent(?:s|ed|or)?",
            r"invent|patent|devis|develop|pioneer|creat(?:ed|or)\b|designed\b",
        ),
        (r"discover(?:s|ed|er)?", r"discover|isolat|identified\b|found\s+by\b|first\s+observ"),
        (
            r"wr(?:ote|ites?|itten|iter)|authors?",
            r"wr(?:ote|itten|iter)|author|novelist|poet|playwright|by\b",
        ),
        (r"paint(?:s|ed|er)?", r"paint|artist|fresco|mural"),
        (r"compos(?:ed|er|es)", r"compos|wr(?:ote|itten)\b|by\b"),
        (r"direct(?:ed|or|s)", r"direct|film\s+by\b"),
        (
            r"(?:co-?)?founded|founders?|established",
            r"(?:co-?)?found(?:ed|er|ing|ation)|establish|creat|start|set\s+up\b|"
            r"form(?:ed|ation)\b|incorporat|sign",
        ),
        (
            r"buil[dt]|builds|constructed|designed|designers?|architect",
            r"buil[dt]|construct|design|architect|erect|commission|complet",
        ),
        (r"sculpted|sculptor|carved", r"sculpt|carv|statue|by\b"),
        (r"born", rf"born\b|birth|native\s+of\b|{_LIVED}"),
        (
            r"died?|dies|killed",
            rf"die[ds]?\b|dying|death|kill|murder|assassinat|execut|extinct|{_LIVED}",
        ),
        (
            r"end(?:ed|s)?|finish(?:ed)?|over",
            r"end(?:ed|s|ing)?\b|until\b|lasted\b|surrender|conclu|ceas|fell\b|fall\b|collaps|"
            rf"dissol|{_SPAN}",
        ),
        (
            r"beg[aiu]n|start(?:s|ed)?|br(?:eak|oke)\s+out",
            r"beg[aiu]n|start|outbreak|broke\s+out\b|since\b|commenc|lasted\b|origin|erupt|"
            rf"{_SPAN}",
        ),
        (
            r"published|released",
            r"publish|releas|appear|novel|film|book|album|single\b|[^()]*\(\d{4}\)",
        ),
        (r"signed", r"sign|seal|adopt|ratif"),
    )
)
_PURPOSE = _family(
    r"used\s+for|use\s+for|purpose\s+of|good\s+for|(?:what|which)\b.*\bfor(?=\s*\?*\s*$)",
    r"us(?:e|es|ed|ing|eful|age)\b|employ|serv(?:e|es|ing)\b|purpose|function|design|intended|for\b|to\b|"
    r"that\b|which\b|allow|enabl|help|measur|appl(?:y|ied|ication)",
)
_MADE_OF = _family(
    r"(?:made|composed|built)\s+(?:up\s+)?(?:of|from|out)|consists?\s+of|ingredients?",
    r"made\b|compos|consist|compris|contain|materials\b|construct|manufactur|mix|combin|alloy|built\b|"
    r"(?:produced|derived|obtained|extracted)\s+(?:from|by)\b|ingredient|brewed\b|prepar|baked\b",
)
_CAUSE = _family(
    r"why|what\s+causes?|what\s+makes",
    r"because\b|due\b|caus|result|reason|owing\b|therefore\b|effects?\b|explain|lead\b|led\b|consequen|"
    r"give\s+rise\b|so\s+that\b|in\s+order\b|produc|creat|when\b|makes?\b|making\b",
)

_WORKING = _family(
    r"how\s+(?:do|does|did)\b.*\bworks?\b",
    r"work|operat|function|mechani|us(?:es|ed|ing)\b|convert|principle|device|machine|means\b|"
    r"allow|through\b|driven|produc|measur",
)
_MADE_OF_IT = r"\b(?:made|composed|built|consist\w*)\s+(?:up\s+)?(?:of|from|out\s+of)\s+(?:the\s+)?"
_MADE_THING = re.compile(
    r"\bwhat\s+(?:is|are|was|were)\s+(?:(?:the|a|an)\s+)?(?P<thing>.+?)\s+(?:usually\s+|often\s+)?"
    r"(?:made|composed|built)\b",
    re.IGNORECASE,
)

_COUNT = re.compile(
    r"\bhow\s+many\s+(?P<noun>(?:[^\W\d_]+\s+){0,2}?[^\W\d_]+)"
    r"(?=[\s?.!]*$|\s+(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|live|lived|in|on|"
    r"of|there|make|speak|play|take|fit|per)\b)",
    re.IGNORECASE,
)
_SAME_COUNT = {
    "people": ("people", "person", "inhabitant", "population", "resident", "citizen", "human"),
    "person": ("people", "person", "inhabitant", "population", "resident", "citizen", "human"),
}
_NUMBER_WORDS = frozenset(
    re.findall(
        r"\w+",
        "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty "
        "dozen hundred thousand million billion single both",
    )
)
_TOKEN = re.compile(r"\d[\d,.]*|[^\W\d_]+")
COUNTED_WITHIN = 4  # words from a number to what it counts
TOTAL_WITHIN = 8  # words from "population" to its number

_SUPERLATIVE = re.compile(
    r"\b(?:what|which|who)\b[^?]*?\b(?:the|'s)\s+(?P<word>[a-z]{3,}est|most\s+[a-z]+)\b", re.I
)
_NO_SUPERLATIVE = frozenset({"west", "forest", "rest", "interest", "best", "latest", "quest"})
_LIKE_SUPERLATIVE = (
    ("largest", "biggest", "greatest"),
    ("highest", "tallest"),
    ("smallest", "tiniest"),
)
_LESSER = re.compile(
    r"(?:\b(?:second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\d+(?:st|nd|rd|th)|next)"
    r"[\s-]+(?:most[\s-]+)?|\bone\s+of\s+(?:the|its|[\w\s]{0,20}['’]s)\s+(?:\w+\s+)?)$",
    re.IGNORECASE,
)
_SCOPE = re.compile(r"\b(?:in|of|on)\s+(?:the\s+)?(?P<place>[A-Z]\w+)")
_CLAUSE_END = re.compile(r"[;,.:(—–]|\b(?:which|that|who|where|with)\b")
_EVERYWHERE = frozenset({"World", "Earth", "Universe"})
FACTS: tuple[Family, ...] = (_PURPOSE, _MADE_OF, _CAUSE, _WORKING)
FAMILIES: tuple[Family, ...] = (*FACTS, *_ACTS)


def asks_fact(question: str) -> bool:
    """Whether a question asks what a thing is for, made of, how it works or why: not its name."""
    return any(asked.search(question) for asked, _ in FACTS)


def says(question: str, sentence: str) -> bool:
    """Whether a sentence tells what a question asks, as far as words show.

    True where nothing that is known here is asked for.
    """
    kind = answer_type(question)
    families = FACTS
    if kind in ("who", "when", "where"):
        families = _ACTS
    for asked, said in families:
        if asked.search(question) and not said.search(sentence):
            return False
    checks = (_counts, _extreme, _not_its_product)
    return all(check(question, sentence) for check in checks)


def _not_its_product(question: str, sentence: str) -> bool:
    """Whether "made of glass" is not told where glass' own matter is asked for."""
    match = _MADE_THING.search(question)
    if match is None:
        return True
    product = _MADE_OF_IT + re.escape(match.group("thing")) + r"\b"
    return re.search(product, sentence, re.IGNORECASE) is None


def _counts(question: str, sentence: str) -> bool:
    """Whether a number of what "how many" asks for is told."""
    match = _COUNT.search(question)
    nouns = search_words(match.group("noun")) if match else []
    if not nouns:
        return True
    wanted = _SAME_COUNT.get(nouns[-1], (nouns[-1],))
    tokens = [token.lower() for token in _TOKEN.findall(sentence)]
    numbers = [n for n, t in enumerate(tokens) if t[0].isdigit() or t in _NUMBER_WORDS]
    for place, token in enumerate(tokens):
        if not set(search_words(token)) & set(wanted):
            continue
        if any(0 < place - number <= COUNTED_WITHIN for number in numbers):
            return True
        total = token == "population"  # noqa: S105 - a word
        if total and any(0 < number - place <= TOTAL_WITHIN for number in numbers):
            return True
    return False


def _extreme(question: str, sentence: str) -> bool:
    """Whether what is called the largest is it, and not the second or that of some place alone."""
    match = _SUPERLATIVE.search(question)
    if match is None or match.group("word").lower() in _NO_SUPERLATIVE:
        return True
    word = match.group("word").lower()
    alike = next((group for group in _LIKE_SUPERLATIVE if word in group), (word,))
    found = re.finditer(rf"\b(?:{'|'.join(map(re.escape, alike))})\b", sentence, re.IGNORECASE)
    noun = (search_words(question[match.end() :]) or [""])[0]
    return any(_first(one, noun, question) for one in found)


def _first(match: re.Match[str], noun: str, question: str) -> bool:
    """Whether one superlative of a sentence means what is asked."""
    if _LESSER.search(match.string[: match.start()]):
        return False
    rest = match.string[match.end() :]
    clause = rest[: end.start()] if (end := _CLAUSE_END.search(rest)) else rest
    between = clause.lower().split()
    if noun and noun in search_words(clause):
        place = next(n for n, word in enumerate(between) if noun in search_words(word))
        skipped = [
            w for w in between[:place] if w not in ("and", "known", "most") and w[-3:] != "est"
        ]
        if len(skipped) > 1:
            return False
    places = [one.group("place") for one in _SCOPE.finditer(clause)]
    asked = question.lower()
    return not places or any(p in _EVERYWHERE or p.lower() in asked for p in places)
