"""Which words mean the same act or thing: lemmas of LemmInflect (MIT), groups of `acts.yaml`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import lemminflect
import yaml

from stream.errors import ConfigError

PATH = Path(__file__).parent / "acts.yaml"

Keys = frozenset[str]  # two words mean the same where their keys overlap
Words = tuple[str, ...]
Groups = Mapping[Words, Keys]  # lemmas of a listed phrase -> names of its groups


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The groups of `acts.yaml`."""

    acts: Groups
    things: Groups
    valves: Keys = frozenset()  # of things that are opened to turn them on

    def act_keys(self, verb: str, particle: str = "") -> Keys:
        """Keys of a verb in any form; a particle that is not listed with it changes nothing."""
        lemma = verb_lemma(verb)
        if particle and (lemma, particle) in self.acts:
            return self.acts[lemma, particle]
        return self.acts.get((lemma,), frozenset((lemma,)))

    def knows_act(self, verb: str, particle: str = "") -> bool:
        """Whether a verb is listed, with its particle where one is given."""
        lemma = verb_lemma(verb)
        return ((lemma, particle) if particle else (lemma,)) in self.acts

    def thing_keys(self, name: Sequence[str]) -> tuple[Keys, Words]:
        """Keys of the longest end of a name that is listed, else of its last word; what is left.

        ("large", "frying", "pan") -> keys of "frying pan" and ("large",).
        """
        lemmas = [noun_lemmas(word) for word in name]
        for start in range(len(name)):
            for phrase in _products(lemmas[start:]):
                if phrase in self.things:
                    return self.things[phrase], tuple(name[:start])
        return (lemmas[-1], tuple(name[:-1])) if name else (frozenset(), ())


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The project's own, read once."""
    return read_lexicon(PATH)


def read_lexicon(path: Path) -> Lexicon:
    """Read a file like `acts.yaml`; raises ConfigError for one that is not."""
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        acts = _groups(table["acts"], "act")
        things = _groups(table["things"], "thing")
        valves = [things.get((name,), noun_lemmas(name)) for name in table.get("valves", ())]
    except (OSError, ValueError, KeyError, TypeError, IndexError, yaml.YAMLError) as error:
        raise ConfigError(
            f"expected lists of lists of words, `acts` and `things`, in {path}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    return Lexicon(acts, things, frozenset().union(*valves))


def _groups(rows: Sequence[Sequence[str]], kind: Literal["act", "thing"]) -> Groups:
    found: dict[Words, Keys] = {}
    for number, row in enumerate(rows):
        for phrase in row:
            words = str.split(phrase)
            # As a name is looked up by any lemma of its words, one of them is enough here.
            lemmas = (
                (verb_lemma(words[0]), *words[1:])
                if kind == "act"
                else next(_products([noun_lemmas(word) for word in words]))
            )
            found[lemmas] = found.get(lemmas, frozenset()) | {f"{kind} {number}"}
    return found


def _products(lemmas: Sequence[Keys]) -> Iterator[Words]:
    if not lemmas:
        yield ()
        return
    for first in sorted(lemmas[0]):
        for rest in _products(lemmas[1:]):
            yield (first, *rest)


@lru_cache(maxsize=8192)
def verb_lemma(word: str) -> str:
    """took, taking -> take; a word that is no verb's form is its own lemma."""
    found = lemminflect.getLemma(word, upos="VERB")
    return str(found[0]) if found else word


@lru_cache(maxsize=8192)
def noun_lemmas(word: str) -> Keys:
    """knives -> {knife}; leaves -> {leave, leaf}, as nobody knows which."""
    return frozenset(map(str, lemminflect.getLemma(word, upos="NOUN"))) or frozenset((word,))
