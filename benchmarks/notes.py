"""Questions on a wearer's own notes: forty, of which ten are not answered by what the notes say.

    python -m benchmarks.notes [--json] [--quick] [--data notes.yaml] [--fresh] [--show]

The notes (benchmarks/data/notes.yaml) become a folder of files and an index, as `foveal index
build` makes it. Graded as in benchmarks.answers; of what the notes do not tell only "I don't know"
is right. `found` is the share of questions whose note is among the evidence. Peers are asked the
same of the same index and never refuse:

    nearest   says the passage whose vector is nearest to the question
    words     says the passage with the best BM25

Views are as in benchmarks.answers; questions whose file is absent are left out.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from benchmarks.answers import outcome
from benchmarks.grading import KINDS, Outcome, grade, share, summary
from benchmarks.questions import (
    NOTES,
    NOTES_FRESH,
    PICTURES,
    QUICK_STEP,
    Asked,
    ask,
    present,
    read_questions,
    read_views,
)
from benchmarks.report import emit
from foveal.setup.assistant import Models, build_assistant, load_models
from foveal.setup.retrieval.indexing import build_index
from retrieval.search import KnowledgeSearcher
from retrieval.sources.sentences import search_words
from stream.clock import NS_PER_MS, MonotonicClock
from stream.events import Answer

MIN_RIGHT = 0.8
Peer = Callable[[str], str]  # a question's answer


def main() -> None:
    """Ask every method every question and print what came of it."""
    args = _parser().parse_args()
    asked = present(read_questions(args.data), args.pictures)[:: QUICK_STEP if args.quick else 1]
    with tempfile.TemporaryDirectory() as folder:
        models = load_models(own=(write_index(args.data, Path(folder)),))
        rows = measure(models, asked, args.pictures, args.data, args.show)
    goal = {"accuracy": f">= {MIN_RIGHT} and above the peers'"}
    peers = max(rows["nearest"]["accuracy"], rows["words"]["accuracy"])
    met = rows["foveal"]["accuracy"] >= max(MIN_RIGHT, peers)
    emit("notes", rows, goal, met, note="times of the whole answer")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_STEP}rd question")
    parser.add_argument("--data", type=Path, default=NOTES, metavar="YAML")
    parser.add_argument(
        "--fresh", action="store_const", const=NOTES_FRESH, dest="data", help="what was asked once"
    )
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="folder of photographs")
    parser.add_argument("--show", action="store_true", help="print every answer with its grade")
    return parser


def write_index(data: Path, folder: Path) -> Path:
    """The index of a question file's notes, below `folder`."""
    notes = yaml.safe_load(data.read_text(encoding="utf-8"))["notes"]
    return build_index(str(write_notes(notes, folder)), folder / "index")[0]


def write_notes(notes: Mapping[str, str], folder: Path) -> Path:
    """Notes as files of a folder below `folder`, which comes back."""
    inside = folder / "notes"
    inside.mkdir()
    for name, text in notes.items():
        (inside / name).write_text(text, encoding="utf-8")
    return inside


def measure(
    models: Models, asked: Sequence[Asked], pictures: Path, data: Path, show: bool
) -> dict[str, dict[str, float]]:
    """The rows of the table."""
    views, assistant = read_views(models, asked, pictures), build_assistant(models)
    meant = wanted(data)
    outcomes: dict[str, list[Outcome]] = {"foveal": []}
    found = 0
    for one in asked:
        answer = ask(assistant, one, views[one.view])
        outcomes["foveal"].append(outcome(one, answer))
        found += meant[one.question] in notes_read(answer)
        _show(show, "foveal", outcomes["foveal"][-1], one, answer.text)
    for name, peer in peers(models.own[0]).items():
        outcomes[name] = [_peer_outcome(peer, name, one, show) for one in asked]
    rows = {name: summary(of) for name, of in outcomes.items()}
    rows["foveal"] |= share("found", found, len(asked))
    for kind in KINDS:
        of_kind = [one for one in outcomes["foveal"] if one.kind == kind]
        rows |= {f"foveal-{kind}": summary(of_kind)} if of_kind else {}
    return rows


def wanted(data: Path) -> dict[str, str]:
    """The note that each question is about, by the question."""
    table = yaml.safe_load(data.read_text(encoding="utf-8"))
    return {row["question"]: row["note"] for kind in KINDS for row in table.get(kind, ())}


def notes_read(answer: Answer) -> set[str]:
    """The files that were found for an answer."""
    return {one.id.partition(":")[2] for search in answer.searches for one in search.evidence}


def peers(searcher: KnowledgeSearcher) -> dict[str, Peer]:
    """What says the best passage by vectors or by words, whatever is asked."""
    store, encoder = searcher.store, searcher.encoder
    passages = [passage for entry in store.entries for passage in entry.passages]
    titles = [entry.title for entry in store.entries for _ in entry.passages]
    shown = [f"{title}. {text}" for title, text in zip(titles, passages, strict=True)]
    vectors = encoder.encode_text(shown)

    def nearest(question: str) -> str:
        return shown[int(np.argmax(vectors @ encoder.encode_text([question])[0]))]

    def words(question: str) -> str:
        return shown[int(np.argmax(store.words.scores(search_words(question))))]

    return {"nearest": nearest, "words": words}


def _peer_outcome(peer: Peer, name: str, asked: Asked, show: bool) -> Outcome:
    clock = MonotonicClock()
    began = clock.now_ns()
    said = peer(asked.question)
    took_ms = (clock.now_ns() - began) / NS_PER_MS
    result = Outcome(asked.kind, grade(asked.kind, asked.accept, said), ("text",), took_ms)
    _show(show, name, result, asked, said)
    return result


def _show(show: bool, name: str, result: Outcome, asked: Asked, said: str) -> None:
    if show:
        print(f"{name:8} {result.grade:14} {asked.question} -> {said}")


if __name__ == "__main__":
    main()
