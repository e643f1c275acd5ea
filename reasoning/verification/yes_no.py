"""Yes or no: what a sentence says to a question that asks for it, by its words alone."""

import re

from retrieval.sources.sentences import search_words

_YES_NO = re.compile(
    r"^\s*(?:is|are|was|were|do|does|did|can|could|has|have|will)\b(?!.*\bor\b)", re.IGNORECASE
)
_BE = re.compile(r"^\s*(?:is|are|was|were)\b", re.IGNORECASE)
_COPULA = re.compile(r"\b(?:is|are|was|were)\b", re.IGNORECASE)
# What is said of a thing ends here; what follows is said of something else.
_BREAK = re.compile(
    r"[;.:—–]|\b(?:that|which|who|whose|where|when|while|but|than|like|such\s+as|including|is|are|"
    r"was|were)\b",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(
    r"\b(?:in|on|at|of|from|for|with|to|near|by|among|under)\b", re.IGNORECASE
)
_KIND_OF = re.compile(
    r"\b(?:species|kind|type|genus|group|family|form|breed|member|class|order|one|any|variety)s?\s+"
    r"of\s+",
    re.IGNORECASE,
)
_NEGATIONS = frozenset(
    ("not", "never", "no", "cannot", "without", "unlike", "neither", "nor", "rarely", "lack",
     "lacks", "lacking", "n't", "t")
)  # fmt: skip
# Before a word these leave open whether it holds.
_HEDGES = frozenset(
    ("dwarf", "minor", "former", "formerly", "fictional", "mythical", "false", "once", "almost",
     "proposed")
)  # fmt: skip
_PLAIN_VERB = frozenset(search_words("have get go be like use need contain"))
_COMMON = frozenset(search_words("common domestic wild modern"))  # in a title, no other kind
_PRONOUN = re.compile(r"\b(?:it|its|this|that|they|these|those|he|she)\b", re.IGNORECASE)
_WORD = re.compile(r"n't\b|[^\W_]+(?:-[^\W_]+)*")
NEAR = 5  # words before another one that a negation reaches

# Words that say what others ask for.
_IMPLIED = {
    "predator": "hunt", "predatory": "hunt", "predators": "hunt", "prey": "hunt",
    "carnivore": "meat", "carnivores": "meat",
    "carnivorous": "meat", "carnivoran": "meat", "herbivore": "plant", "herbivores": "plant",
    "herbivorous": "plant", "omnivore": "meat plant", "omnivorous": "meat plant", "omnivores":
    "meat plant", "aquatic": "water", "marine": "sea", "poisonous": "poison", "toxic": "poison "
    "poisonous", "edible": "eat", "extinct": "extinct", "oviparous": "egg", "combustible": "burn",
    "flammable": "burn", "soluble": "dissolve", "domesticated": "pet",
}  # fmt: skip
_LESS = {"flightless": "fly", "legless": "leg", "limbless": "leg limb", "wingless": "wing fly",
         "toothless": "tooth", "tailless": "tail", "odorless": "smell", "odourless": "smell",
         "colorless": "color colour", "colourless": "color colour", "tasteless": "taste",
         "nonmetal": "metal", "invertebrate": "backbone", "invertebrates": "backbone",
         "inedible": "eat edible", "harmless": "dangerous harm", "non-toxic": "toxic"}  # fmt: skip


def asks_yes_or_no(question: str) -> bool:
    """Whether yes or no is an answer."""
    return _YES_NO.match(question) is not None


def yes_or_no(question: str, sentence: str, title: str) -> bool | None:
    """What a sentence says to a yes-or-no question; None where it leaves it open.

    The entry must be about what is asked ("Whale shark" is not, of whales), every other content
    word of the question must be said of it, in the words of the question or in one that means
    it ("flightless"), and a negation counts only where it stands before one of them.
    """
    if not asks_yes_or_no(question):
        return None
    if not concerns(question, title):
        return None
    words, named = set(search_words(question)), search_words(title.split(" (")[0])
    asked = {word for word in words if not any(alike(word, one) for one in named)} - _PLAIN_VERB
    parts = _predicates(sentence, question) if _BE.match(question) else [sentence]
    verdicts = [_verdict(asked, part) for part in parts] if asked else []
    return next((verdict for verdict in verdicts if verdict is not None), None)


def concerns(question: str, title: str) -> bool:
    """Whether an entry is about what a question asks: its name is in it, or nothing is named."""
    words = search_words(question)
    about = set(search_words(title.split(" (")[0]))
    named = {one for one in about if any(alike(one, word) for word in words)}
    if not named:
        return _PRONOUN.search(question) is not None  # "Can it fly?"
    return not about - named - _COMMON


def _predicates(sentence: str, question: str) -> list[str]:
    """What follows each "is", up to where something else is spoken of; the verb's "not" stays.

    Of "Is it a planet?" that is the noun alone: "smaller than the planets" does not count.
    """
    whole = _PREPOSITION.search(question) is not None
    found = []
    for match in _COPULA.finditer(sentence):
        rest = _KIND_OF.sub("", sentence[match.end() :])
        ends = [end.start() for end in (_BREAK.search(rest),) if end]
        if not whole:
            ends += [end.start() for end in (_PREPOSITION.search(rest),) if end]
        found.append(rest[: min(ends)] if ends else rest)
    return found


def _verdict(asked: set[str], part: str) -> bool | None:
    tokens = [token.lower() for token in _WORD.findall(part)]
    denied = False
    for word in asked:
        places = [n for n, token in enumerate(tokens) if _means(token, word)]
        if not places:
            return None
        place = places[0]
        if _HEDGES & set(tokens[max(0, place - 2) : place]):
            return None
        denied |= bool(_NEGATIONS & set(tokens[max(0, place - NEAR) : place]))
        denied |= word in _LESS.get(tokens[place], "").split()
    return not denied


def _means(token: str, word: str) -> bool:
    said = f"{_IMPLIED.get(token, '')} {_LESS.get(token, '')}".split()
    return word in said or any(alike(word, one) for one in search_words(token))


def alike(left: str, right: str) -> bool:
    """Whether two words are forms of one: swim, swimming; mammal, mammals."""
    shorter, longer = sorted((left, right), key=len)
    return longer.startswith(shorter) and len(shorter) >= 3 and len(longer) - len(shorter) <= 4
