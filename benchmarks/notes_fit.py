"""Fits what `reasoning/verification/note_support.py` weighs, on notes that no benchmark asks about.

    python -m benchmarks.notes_fit [--json] [--data notes_tuning.yaml] [--show]

Every passage of the two notes found first is a row: it tells what was asked or it does not. The
table is of questions whose note was left out of the fit (leave one note out), by the probability
from which a passage is said: `right` and `wrong` of questions that a note tells, `refused` of the
others, and the share of all that is as it should be. The weights of the fit on everything are
printed as the code has them.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.notes import write_notes
from benchmarks.questions import NOTES_TUNING
from benchmarks.report import emit
from foveal.setup.retrieval.search import load_encoder
from foveal.setup.retrieval.sources import read_source
from reasoning.verification.note_support import (
    ENOUGH,
    MAX_NOTES,
    Features,
    NoteWeights,
    features,
)
from retrieval.combined import RELEVANT
from retrieval.search import KnowledgeSearcher
from retrieval.store.knowledge import build_store
from stream.events import Query

RIDGE = 0.3  # weight of the squared coefficients; the features are shares and cosines
GATES = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
PASSAGES = 1000  # of a note that have a vector


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Passages found for questions, N in all."""

    table: Features  # [N, F]
    tells: Features  # [N] 1 where the passage tells what was asked
    question: Features  # [N] number of the question
    note: tuple[str, ...]  # [N] the note that the question is about
    passage: tuple[str, ...]  # [N]


def main() -> None:
    """Print what each gate does to questions left out of the fit, and the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--data", type=Path, default=NOTES_TUNING, metavar="YAML")
    parser.add_argument("--show", action="store_true", help="print what goes wrong")
    args = parser.parse_args()
    table = yaml.safe_load(args.data.read_text(encoding="utf-8"))
    asked = [*table["asked"], *({"question": text} for text in table["elsewhere"])]
    rows = collect(table["notes"], asked)
    left_out = left_out_probabilities(rows)
    results = {f"gate {gate}": judged(rows, left_out, asked, gate) for gate in GATES}
    if args.show:
        for number, one in enumerate(asked):
            print(told(rows, left_out, number), "|", one["question"], "|", one.get("tells", "-"))
    names = [one.name for one in fields(NoteWeights)]
    fitted = dict(zip(names, fit(rows.table, rows.tells).round(2).tolist(), strict=True))
    print(f"NoteWeights({', '.join(f'{name}={value}' for name, value in fitted.items())})")
    emit("notes_fit", results, {"gate": f"{ENOUGH} is used"}, None)


def collect(notes: Mapping[str, str], asked: Sequence[Mapping[str, Any]]) -> Rows:
    """The passages that are judged for each question, with what is right."""
    encoder = load_encoder()
    with tempfile.TemporaryDirectory() as folder:
        knowledge, _ = read_source(str(write_notes(notes, Path(folder))))
    searcher = KnowledgeSearcher(build_store(knowledge, encoder, embedded=PASSAGES), encoder)
    found: list[tuple[Features, bool, int, str, str]] = []
    for number, one in enumerate(asked):
        best = searcher.search(Query("text", one["question"], MAX_NOTES))
        for entry in (entry for entry in best if entry.score >= RELEVANT):
            meant = "tells" in one and entry.id.endswith(f":{one['note']}")
            for passage, row in zip(*features(one["question"], entry, encoder), strict=True):
                tells = meant and one["tells"].lower() in passage.lower()
                found.append((row, tells, number, one.get("note", f"none {number}"), passage))
    return Rows(
        np.array([one[0] for one in found]),
        np.array([one[1] for one in found], float),
        np.array([one[2] for one in found]),
        tuple(one[3] for one in found),
        tuple(one[4] for one in found),
    )


def fit(table: Features, tells: Features) -> Features:
    """Logistic regression with ridge by Newton's method: [1 + F], the bias first."""
    rows = np.column_stack([np.ones(len(table)), table])
    penalty = RIDGE * np.eye(rows.shape[1])
    penalty[0, 0] = 1e-6
    weights = np.zeros(rows.shape[1])
    for _ in range(50):
        said = 1 / (1 + np.exp(-rows @ weights))
        curve = rows.T @ (rows * (said * (1 - said))[:, None]) + penalty
        weights -= np.linalg.solve(curve, rows.T @ (said - tells) + penalty @ weights)
    return weights


def left_out_probabilities(rows: Rows) -> Features:
    """[N] probability of each row by a fit on the rows of all other notes."""
    notes, found = np.array(rows.note), np.zeros(len(rows.tells))
    for note in set(rows.note):
        out = notes == note
        weights = fit(rows.table[~out], rows.tells[~out])
        found[out] = 1 / (1 + np.exp(-(weights[0] + rows.table[out] @ weights[1:])))
    return found


def told(rows: Rows, probability: Features, number: int) -> tuple[float, bool, str]:
    """Of a question: its best passage's probability, whether it tells, and the passage."""
    places = np.flatnonzero(rows.question == number)
    if not len(places):
        return 0.0, False, ""
    best = places[int(np.argmax(probability[places]))]
    return float(probability[best].round(2)), bool(rows.tells[best]), rows.passage[best]


def judged(
    rows: Rows, probability: Features, asked: Sequence[Mapping[str, Any]], gate: float
) -> dict[str, float]:
    """Shares of questions at a gate."""
    count = {"right": 0, "wrong": 0, "refused": 0}
    told_by_none = sum("tells" not in one for one in asked)
    for number, one in enumerate(asked):
        score, tells, _ = told(rows, probability, number)
        if "tells" not in one:
            count["refused"] += score < gate
        elif score >= gate:
            count["right" if tells else "wrong"] += 1
    told_by_some = len(asked) - told_by_none
    return {
        "right": count["right"] / told_by_some,
        "wrong": count["wrong"] / told_by_some,
        "refused": count["refused"] / told_by_none,
        "accuracy": (count["right"] + count["refused"]) / len(asked),
    }


if __name__ == "__main__":
    main()
