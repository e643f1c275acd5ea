"""Which names are kinds of which: ImageNet's classes under COCO's, and the words people use.

ImageNet numbers its classes along WordNet's tree, so most kinds are a few ranges of numbers.
"""

from functools import lru_cache

from perception.detect.coco import EVERYDAY, TABLE
from perception.scene.name_matching import words_of

# How well a class fits: by its name, by another word or with an adjective, by its group.
EXACT, HEAD, GROUP = 1.0, 0.9, 0.8


@lru_cache(maxsize=1)
def kinds() -> tuple[tuple[int, ...], ...]:
    """For each of EVERYDAY's names, the ImageNet classes that are kinds of it."""
    return tuple(_numbers(row.get("kinds", "")) for row in TABLE["classes"])


def has_finer(label: int) -> bool:
    """Whether a kind of one of EVERYDAY's names is worth saying instead of it."""
    return "plain" not in TABLE["classes"][label] and bool(kinds()[label])


def fitting(phrase: str) -> dict[int, float]:
    """EVERYDAY's names that a phrase means, with how well each fits, 0..1; often none.

    "red mug" means a cup, "animal" any of ten; "dog" does not mean a hot dog.
    """
    words = words_of(phrase)
    for length in range(len(words), 0, -1):  # the longest name at the phrase's end is meant
        found = _names().get(words[-length:])
        if found is not None:
            weight = EXACT if length == len(words) else HEAD
            return {label: weight * fit for label, fit in found}
    return {}


@lru_cache(maxsize=1)
def _names() -> dict[tuple[str, ...], tuple[tuple[int, float], ...]]:
    """Words of a name or a group -> the labels that it stands for."""
    table: dict[tuple[str, ...], dict[int, float]] = {}
    index = {names[0]: number for number, names in enumerate(EVERYDAY)}
    for label, names in enumerate(EVERYDAY):
        # Nobody is told whether the person they see is a woman.
        same = names if names[0] != "person" else ("person", "people", "somebody", "anyone")
        for name in same:
            table.setdefault(words_of(name), {})[label] = EXACT
        more = TABLE["classes"][label].get("more")
        for name in (*names, *(more.split("|") if more else ())):
            table.setdefault(words_of(name), {}).setdefault(label, HEAD)
    for groups, members in TABLE["groups"].items():
        for group in groups.split("|"):
            row = table.setdefault(words_of(group), {})
            for member in members.split("|"):
                row.setdefault(index[member], GROUP)
    return {words: tuple(row.items()) for words, row in table.items()}


def _numbers(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)
