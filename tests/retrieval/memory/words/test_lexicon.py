"""Which words mean the same."""

from pathlib import Path

import pytest

from retrieval.memory.words.lexicon import PATH, lexicon, noun_lemmas, read_lexicon, verb_lemma
from stream.errors import ConfigError


@pytest.mark.parametrize(
    ("form", "lemma"),
    [("took", "take"), ("cutting", "cut"), ("shook", "shake"), ("mixing", "mix"), ("zorp", "zorp")],
)
def test_verbs_have_one_lemma(form: str, lemma: str) -> None:
    assert verb_lemma(form) == lemma


def test_nouns_have_every_lemma_that_they_may_have() -> None:
    assert noun_lemmas("knives") == {"knife"}
    assert "leaf" in noun_lemmas("leaves")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("took",), ("pick", "up")),
        (("washing",), ("rinsed",)),
        (("shut",), ("closed",)),
        (("switch", "on"), ("turn", "on")),
        (("throw", "away"), ("discard",)),
    ],
)
def test_acts_that_mean_the_same(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    words = lexicon()
    assert words.act_keys(*one) & words.act_keys(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("turn", "on"), ("turn", "off")),
        (("open",), ("close",)),
        (("take",), ("put",)),
        (("turn", "on"), ("turn",)),
        (("lock",), ("unlock",)),
    ],
)
def test_acts_that_do_not(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    words = lexicon()
    assert not words.act_keys(*one) & words.act_keys(*other)


def test_a_particle_that_is_not_listed_changes_nothing() -> None:
    assert lexicon().act_keys("open", "with") == lexicon().act_keys("open")


def test_the_longest_listed_end_of_a_name_counts() -> None:
    keys, rest = lexicon().thing_keys(("large", "chopping", "boards"))
    assert rest == ("large",) and keys == lexicon().thing_keys(("cutting", "board"))[0]
    assert lexicon().thing_keys(("wooden", "rulers")) == (frozenset({"ruler"}), ("wooden",))
    assert lexicon().thing_keys(()) == (frozenset(), ())


def test_every_group_of_the_file_says_something() -> None:
    words = read_lexicon(PATH)
    for groups in (words.acts, words.things):
        sizes = [
            sum(name in keys for keys in groups.values()) for name in set().union(*groups.values())
        ]
        assert min(sizes) >= 2


@pytest.mark.parametrize(
    "text", ["", "acts: 3", "acts: [[take, 3]]\nthings: []", "acts: [[]", "\0"]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "acts.yaml").write_text(text)
    with pytest.raises(ConfigError, match="expected lists of lists"):
        read_lexicon(tmp_path / "acts.yaml")
