"""Self-distillation: what is known confirms an answer, corrects it, or drops it."""

from pathlib import Path

import numpy as np
import torch

from foveal.training.data.distil import Distiller
from foveal.training.data.visual_cache import VisualTokenCache
from perception.features.backbone import Features
from perception.scene.reader import GroundedRegion, SceneView
from reasoning.data.annotator import NamedMask, QuestionSample
from reasoning.data.records import Entity, Information, TrainingRecord, Words, sequence_of
from reasoning.data.wearer_questions import Kind, WearerQuestion
from reasoning.data.wordings import Fact
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.pixsearch.connector import GRID, POINTED, THING
from reasoning.pixsearch.visual_input import VisualInput
from stream.events import Evidence
from stream.frame import Frame
from stream.geometry import encode_mask
from tests.doubles.perception import thing
from tests.doubles.reasoning import Mention, ScriptedLMM, ScriptedSearcher, ScriptPiece
from tests.doubles.reasoning import Words as Said

SIZE = (64, 64)
RIGHT = np.zeros(SIZE, bool)
RIGHT[8:24, 8:24] = True
KNOWN = np.zeros(SIZE, bool)
KNOWN[9:25, 8:24] = True
EATS, LIVES = "The zebra eats mostly grass and leaves.", "The zebra lives in eastern Africa."
FOUND = Evidence("wiki:Zebra", "Zebra", f"{LIVES} {EATS}", 0.9, "wiki", None, (EATS, LIVES))


def view() -> SceneView:
    features = Features(torch.rand(8, 8, 8), torch.rand(12, 2, 2), SIZE)
    posterior = np.full(3, 1 / 3, np.float32)
    frame = Frame(0, 0, np.full((*SIZE, 3), 90, np.uint8), "test")
    return SceneView(frame, features, (region(),), region().names, posterior)


def region() -> GroundedRegion:
    zebra = thing((8, 8, 24, 24), "zebra", 0.9)
    posterior = np.array([0, 1, 0], np.float32)
    return GroundedRegion(RIGHT, zebra.box, posterior, zebra.names, 1.0)


def told(words: str) -> list[ScriptPiece]:
    call: list[ScriptPiece] = ["<search>", "<region>", "</search>"]
    return [Said("The"), Mention(" zebra", region()), *call, Said(words)]


def asked(
    kind: Kind, question: str = "What does it eat?", follows: WearerQuestion | None = None
) -> WearerQuestion:
    known = NamedMask("zebra", encode_mask(KNOWN))
    sample = QuestionSample(
        f"p#{kind}", "p.jpg", SIZE, question, "", (known,), 0, (12, 12), "Zebra"
    )
    fact = Fact("What does {it} eat?", EATS, "Zebra") if kind == "fact" else None
    return WearerQuestion(kind, sample, fact, follows)


def distil(
    one: WearerQuestion, *turns: list[ScriptPiece]
) -> tuple[TrainingRecord | None, Distiller]:
    searcher = ScriptedSearcher({"<region>": [FOUND]})
    assistant = Assistant(ScriptedLMM(*turns), SearchDecoder(searcher))
    distiller = Distiller(assistant, lambda text: len(text.split()))
    return distiller.record(one, view()), distiller


def test_a_confirmed_quotation_is_kept_with_the_known_mask() -> None:
    quoted = " eats mostly grass and leaves. (Source: Zebra.)"
    record, distiller = distil(asked("fact"), told(quoted))
    assert record is not None
    (turn,) = record.turns
    entity = next(s for s in turn.segments if isinstance(s, Entity))
    assert entity.mask == encode_mask(KNOWN) and turn.point == (12, 12)
    evidence = next(s for s in turn.segments if isinstance(s, Information))
    assert evidence.text == f"Zebra: {EATS} {LIVES}"  # nearest first, as it is shown
    assert turn.segments[-1] == Words(quoted)
    assert distiller.report.kinds == {"fact": 1} and distiller.report.calls == {"region": 1}


def test_another_sentence_is_replaced_by_the_one_that_tells() -> None:
    record, _ = distil(asked("fact"), told(" lives in eastern Africa. (Source: Zebra.)"))
    assert record is not None
    said = sequence_of(record.turns[0].segments).split("</information>")[1]
    assert said == " eats mostly grass and leaves. (Source: Zebra.)"


def test_another_entry_and_what_nobody_can_know_are_dropped() -> None:
    record, distiller = distil(asked("fact"), told(" is a horse. (Source: Horse.)"))
    assert record is None and distiller.report.dropped == {"fact: told by another entry": 1}
    record, distiller = distil(asked("personal", "Whose is it?"), [Said("It is yours.")])
    assert record is None and list(distiller.report.dropped) == [
        "personal: answered what nobody can know"
    ]
    record, _ = distil(asked("personal", "Whose is it?"), [Said("I don't know.")])
    assert record is not None


def test_names_and_places_are_held_against_what_is_known() -> None:
    zebra = [Said("This is"), Mention(" a zebra", region()), Said(".")]
    horse = [Said("This is"), Mention(" a horse", region()), Said(".")]
    for kind, question, said, kept in (
        ("name", "What is this?", zebra, True),
        ("name", "What is this?", horse, False),
        ("list", "What do you see?", zebra, True),
        ("list", "What do you see?", horse, False),
        ("where", "Where is the zebra?", [Said("It is here.")], False),
        ("where", "Where is the zebra?", zebra, True),
        ("absent", "Is there a cup?", zebra, False),
        ("count", "How many zebras?", [Said("I see two zebras.")], False),
        ("count", "How many zebras?", [Said("I see one zebra.")], True),
    ):
        record, _ = distil(asked(kind, question), said)  # type: ignore[arg-type]
        assert (record is not None) is kept, (kind, said)


def test_a_question_that_follows_makes_a_second_turn_unless_it_fails() -> None:
    follow = asked("fact", "And what does it eat?")
    good, bad = told(" eats mostly grass and leaves. (Source: Zebra.)"), told(" (Source: Horse.)")
    zebra: list[ScriptPiece] = [Said("This is"), Mention(" a zebra", region()), Said(".")]
    for second, count in ((good, 2), (bad, 1)):
        record, _ = distil(asked("name", "What is this?", follow), zebra, second)
        assert record is not None and len(record.turns) == count


class OneReader:
    """A reader whose every picture shows the zebra."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, frame: Frame) -> SceneView:
        self.reads += 1
        return view()

    def point_at(self, view: SceneView, point: object, box: object) -> GroundedRegion:
        return region()


def test_what_was_shown_is_kept(tmp_path: Path) -> None:
    reader = OneReader()

    def make() -> VisualTokenCache:
        return VisualTokenCache(
            tmp_path,
            lambda: reader,  # type: ignore[arg-type,return-value]
            VisualInput(lambda pooled: torch.full((len(pooled), 3), 1 / 3), (1, 2), 4),
            lambda _: np.zeros((*SIZE, 3), np.uint8),
        )

    first = make()("p.jpg", (12, 12))
    again = make()("p.jpg", (12, 12))
    assert reader.reads == 1 and first.kinds == (GRID, GRID, THING, POINTED)
    assert torch.equal(first.posteriors, again.posteriors)
    assert torch.equal(first.boxes[2], torch.tensor([8, 8, 24, 24]) / 64)
    assert make()("p.jpg", None).kinds == (GRID, GRID, THING) and reader.reads == 2
