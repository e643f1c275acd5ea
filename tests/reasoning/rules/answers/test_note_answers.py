"""Own notes through the real models: the README's example, and what notes do not tell."""

import dataclasses
import re
from pathlib import Path

import pytest

from benchmarks.questions import read_frame
from foveal.setup.assistant import Models, build_assistant
from foveal.setup.retrieval.sources import read_source
from retrieval.search import KnowledgeSearcher
from retrieval.store.knowledge import build_store
from stream.events import Answer, Question

README = Path(__file__).resolve().parents[4] / "README.md"
SECTION = re.compile(
    r"such as `notes/(?P<name>[\w.]+)`:\n\n```markdown\n(?P<note>.*?)```.*?"
    r'--ask "2\.0: (?P<question>[^"]+)"\n```\n\n    (?P<answer>[^\n]+)\n',
    re.DOTALL,
)


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    found = SECTION.search(README.read_text(encoding="utf-8"))
    assert found is not None, "the README has no example of own notes"
    return found.groupdict()


@pytest.fixture(scope="module")
def noted(
    models: Models, example: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Models:
    """The models with the README's note as an own index."""
    folder = tmp_path_factory.mktemp("notes")
    (folder / example["name"]).write_text(example["note"], encoding="utf-8")
    encoder = models.searcher.encoder
    own = KnowledgeSearcher(build_store(read_source(str(folder))[0], encoder), encoder)
    return dataclasses.replace(models, own=(own,))


def ask(models: Models, question: str) -> Answer:
    view = models.reader.read(read_frame("camera", None))
    return build_assistant(models).ask(Question(question, 0), view, lambda _: None)


@pytest.mark.assets
def test_the_example_of_the_readme(noted: Models, example: dict[str, str]) -> None:
    answer = ask(noted, example["question"])
    assert answer.text == example["answer"]
    (search,) = answer.searches
    assert search.evidence[0].tier == "own" and len(search.evidence) <= 3
    assert "vetted" in {one.tier for one in search.evidence}


@pytest.mark.assets
def test_a_fact_in_other_words_and_one_that_no_note_tells(noted: Models) -> None:
    assert "93" in ask(noted, "How hot do I pour over?").text
    refused = ask(noted, "Who gave me the kettle in Rome?").text
    assert refused.startswith("I don't know") and "your notes" not in refused.split(".")[0]


@pytest.mark.assets
def test_notes_that_know_nothing_of_it_change_nothing(noted: Models, models: Models) -> None:
    with_notes, without = (ask(one, "When did World War I begin?") for one in (noted, models))
    assert with_notes.text == without.text
    assert [s.evidence for s in with_notes.searches] == [s.evidence for s in without.searches]
