"""Claims with a planted fault: how well a checker tells them from honest ones, beside nearness.

    python -m benchmarks.claims [--json] [--quick] [--fit]

An honest claim is a sentence of an entry of the knowledge base told in other words: its pronoun
resolved, brackets and trailing clauses dropped, what stands in front moved behind, plain words
exchanged. A planted one has a name, a number or a denial changed. The evidence is that of a search:
the entry it is from and two others. Entries that a question of this project's files names are left
out. Half of the entries (by digest) serve `--fit`, which prints weights; figures are of
the other half. `auroc` carries its 95 % interval (bootstrap over entries, 500 draws), `said` is the
share of honest and of planted claims that would be said.
"""

import argparse
import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.questions import FOLDER
from benchmarks.report import emit
from foveal.setup.retrieval.search import index_dir, load_encoder
from reasoning.verification.claims import FEATURES, ClaimChecker
from retrieval.encoders.text import Vectors
from retrieval.sources.entries import Entry
from retrieval.sources.sentences import search_words
from retrieval.store.knowledge import load_store

Kind = Literal["honest", "entity", "number", "negation"]
GOAL = 0.85
ENTRIES = 300  # of each half
NEWTON, RIDGE = 30, 0.1  # steps, and what keeps weights small
OTHER_WORDS = (  # plain words and what else says the same
    ("known as", "called"), ("large", "big"), ("began", "started"), ("located", "situated"),
    ("often", "frequently"), ("usually", "mostly"), ("also", "too"), ("famous", "well known"),
    ("such as", "like"), ("created", "made"), ("used", "employed"), ("around", "about"),
    ("primarily", "mainly"), ("approximately", "about"), ("founded", "established"),
)  # fmt: skip
_AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|can|could|may|did|does|do)\b(?! not)")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?: [A-Z][a-z]+)*")
_DIGITS = re.compile(r"(?<![\w.,])\d{1,4}(?![\w.,]*\d)")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, what was done to it, and the evidence beside it."""

    kind: Kind
    text: str
    told: tuple[str, ...]
    entry: int


def main() -> None:
    """Make claims, score them, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="a third of the entries")
    parser.add_argument("--fit", action="store_true", help="fit weights on the other half")
    args = parser.parse_args()
    encoder = load_encoder()
    checker = ClaimChecker(encoder)
    entries = unasked(load_store(index_dir(), encoder.id).entries)
    count = ENTRIES // 3 if args.quick else ENTRIES
    if args.fit:
        claims = made(entries, True, count)
        print(fitted(_features(checker, claims), np.array([c.kind == "honest" for c in claims])))
        return
    claims = made(entries, False, count)
    found = _features(checker, claims)
    weights = checker.weights
    ours = found @ weights.vector + weights.bias
    rows = {
        name: figures(claims, scores)
        for name, scores in (("checker", ours), ("nearness alone", found[:, 0]))
    }
    said = 1 / (1 + np.exp(-ours)) >= weights.enough
    honest = np.array([claim.kind == "honest" for claim in claims])
    rows["checker"] |= {"honest said": float(said[honest].mean())}
    rows["checker"] |= {"planted said": float(said[~honest].mean())}
    met = rows["checker"]["auroc"] >= GOAL
    emit("claims", rows, {"auroc": f">= {GOAL}"}, met, f"{len(claims)} claims")


def unasked(entries: Sequence[Entry]) -> list[Entry]:
    """Entries that no question file speaks of."""
    asked = set(search_words(" ".join(p.read_text("utf-8") for p in FOLDER.glob("*.yaml"))))
    return [one for one in entries if not set(search_words(one.title)) & asked]


def made(entries: Sequence[Entry], fitting: bool, count: int) -> list[Claim]:
    """Honest claims of `count` entries and those planted in them."""
    rng = random.Random(int(fitting))
    half = [one for one in entries if (_digest(one.id) % 2 == 0) is fitting]
    chosen = rng.sample(half, len(half))
    names = [name for one in chosen for name in _NAME.findall(one.passages[0])]
    claims: list[Claim] = []
    for number, entry in enumerate(chosen):
        text = paraphrase(rng.choice(entry.passages), entry.title)
        if number == count or len(search_words(text)) < 4:
            if number == count:
                break
            continue
        others = rng.sample(chosen, 2)
        told = tuple(f"{one.title}. {text}" for one in (entry, *others) for text in one.passages)
        claims.append(Claim("honest", text, told, number))
        planted: tuple[tuple[Kind, str], ...] = (
            ("entity", swapped_name(text, entry.title, names, rng)),
            ("number", swapped_number(text, rng)),
            ("negation", denied(text)),
        )
        claims += [Claim(kind, new, told, number) for kind, new in planted if new != text]
    return claims


def paraphrase(sentence: str, title: str) -> str:
    """The same in other words."""
    name = title.split(" (")[0]
    text = re.sub(r"\s*\([^()]*\)", "", sentence)
    text = re.sub(r"^(?:It|He|She|They)\b", name, text)
    text = re.sub(r"^(?:Its|His|Her|Their)\b", f"{name}'s", text)
    front = re.match(r"((?:In|During|By|After|At|On)\b[^,]{3,40}), (.+?)\.?$", text)
    if front:
        text = f"{front[2]} {front[1][0].lower()}{front[1][1:]}."
    if len(text.split()) > 14:
        text = re.sub(r",\s+(?:which|who|where|and|with|including|such as)\b.*$", ".", text)
    for word, other in OTHER_WORDS:
        text = re.sub(rf"\b{word}\b", other, text)
    return text[0].upper() + text[1:]


def swapped_name(text: str, title: str, names: Sequence[str], rng: random.Random) -> str:
    """Another entry's name in the place of one; the same text where it holds none."""
    found = [m for m in _NAME.finditer(text) if m.group() not in title]
    if not found:
        return text
    match = rng.choice(found)
    new = rng.choice([name for name in names if name not in text])
    return text[: match.start()] + new + text[match.end() :]


def swapped_number(text: str, rng: random.Random) -> str:
    """Another number of about the same size."""
    found = list(_DIGITS.finditer(text))
    if not found:
        return text
    match = rng.choice(found)
    new = int(match.group()) + rng.choice((-1, 1)) * rng.randint(
        1, max(2, int(match.group()) // 50)
    )
    return text[: match.start()] + str(abs(new) + (new == int(match.group()))) + text[match.end() :]


def denied(text: str) -> str:
    """ "is" becomes "is not", and the other way round."""
    if re.search(r"\bnot\b ?", text):
        return re.sub(r"\bnot\b ?", "", text, count=1)
    return _AUXILIARY.sub(r"\1 not", text, count=1)


def fitted(features: Vectors, honest: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Weights of a logistic regression, and the probability that 95 % of honest claims reach."""
    design = np.column_stack([np.ones(len(features)), features]).astype(np.float64)
    weigh = np.where(honest, 0.5 / honest.mean(), 0.5 / (1 - honest.mean()))  # as if half and half
    found = np.zeros(design.shape[1])
    for _ in range(NEWTON):
        likely = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (weigh * (likely - honest)) + RIDGE * found
        curve = (design.T * (weigh * likely * (1 - likely))) @ design
        found -= np.linalg.solve(curve + RIDGE * np.eye(len(found)), slope)
    likely = 1 / (1 + np.exp(-design[honest] @ found))
    weights = dict(zip(("bias", *FEATURES), found.round(2).tolist(), strict=True))
    return {**weights, "enough": round(float(np.quantile(likely, 0.05)), 2)}


def figures(claims: Sequence[Claim], scores: Vectors) -> dict[str, float]:
    """AUROC over all faults with its interval, and of each kind."""
    honest = np.array([claim.kind == "honest" for claim in claims])
    row: dict[str, float] = {"auroc": auroc(scores[honest], scores[~honest])}
    owner = np.array([claim.entry for claim in claims])
    places = [np.flatnonzero(owner == one) for one in np.unique(owner)]
    rng, drawn = np.random.default_rng(0), []
    for _ in range(500):
        rows = np.concatenate([places[n] for n in rng.integers(len(places), size=len(places))])
        drawn.append(auroc(scores[rows][honest[rows]], scores[rows][~honest[rows]]))
    row |= dict(zip(("auroc_low", "auroc_high"), np.quantile(drawn, (0.025, 0.975)), strict=True))
    for kind in ("entity", "number", "negation"):
        of = np.array([claim.kind == kind for claim in claims])
        row[kind] = auroc(scores[honest], scores[of])
    return {name: float(value) for name, value in row.items()}


def auroc(right: Vectors, wrong: Vectors) -> float:
    """How often a right one scores above a wrong one; ties count half."""
    order = np.sort(wrong)
    below = np.searchsorted(order, right, "left") + np.searchsorted(order, right, "right")
    return float(below.mean() / 2 / len(wrong))


def _features(checker: ClaimChecker, claims: Sequence[Claim]) -> Vectors:
    return np.array([checker.features(claim.text, claim.told) for claim in claims], np.float32)


def _digest(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0]


if __name__ == "__main__":
    main()
