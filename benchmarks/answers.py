"""Answer quality on questions with known right answers, search by policy beside never and always.

    python -m benchmarks.answers [--json] [--quick] [--data questions.yaml] [--show]
    python -m benchmarks.answers --general
    python -m benchmarks.answers --everyday [--tuning] [--pictures DIR]

Every question is asked on its own (or after what `after` lists), of a photograph that was read
before. An answer is right when it holds an accepted word outside its citation, a miss when it
refuses ("I don't know") though the answer can be known, and a hallucination when it is neither; of
a question that cannot be answered only "I don't know" is right. `truthfulness` is accuracy less
hallucination. `composed` is what drafts alone say, without the trained model's reading; `never`
takes the search away, `always-text` makes every question a text search. Times are of the whole
answer, from the question on.

--general and --everyday ask two other sets; of the latter only the --tuning half was worked on. Its
photographs are files of DIR (default ../shared/data) beside scikit-image's; questions whose
photograph is absent are left out.
"""

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import skimage.data
import yaml
from skimage.io import imread

from benchmarks.report import emit
from foveal.config.models import ReasoningConfig
from foveal.setup.assistant import Models, build_assistant, load_models
from perception.scene.reader import SceneView
from reasoning.generation.conversation import Assistant
from reasoning.generation.settings import DecodeConfig, PolicyConfig
from reasoning.rules.pieces import DONT_KNOW
from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import ConfigError
from stream.events import Answer, Point, QueryKind, Question
from stream.frame import Frame

DATA = Path(__file__).parent / "data" / "questions.yaml"
GENERAL = Path(__file__).parent / "data" / "general.yaml"
EVERYDAY = Path(__file__).parent / "data" / "everyday.yaml"
EVERYDAY_TUNING = Path(__file__).parent / "data" / "everyday_tuning.yaml"
PICTURES = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
QUICK_STEP = 3  # every third question
MIN_TRUTHFULNESS = 0.5
Kind = Literal["thing", "fact", "unanswerable", "visual"]  # thing: a fact about what is in view
KINDS: tuple[Kind, ...] = get_args(Kind)
Grade = Literal["right", "hallucination", "miss"]

# An answer that names nothing; of an unanswerable question only the first is right.
REFUSALS = (DONT_KNOW, "I can't make out any words", "none that I can name")
_CITATION = re.compile(r"\(Source: .*?\.\)(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what is right."""

    kind: Kind
    view: str  # a photograph of skimage.data, or a file of the data folder
    question: str
    accept: tuple[str, ...] = ()
    point: Point | None = None
    after: tuple[str, ...] = ()  # questions asked before in the same conversation


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one answer did."""

    kind: Kind
    grade: Grade
    calls: tuple[QueryKind, ...]
    took_ms: float


def main() -> None:
    """Ask every method every question, interleaved, and print what came of it."""
    args = _parser().parse_args()
    asked = present(read_questions(_questions(args)), args.pictures)
    asked = asked[:: QUICK_STEP if args.quick else 1]
    models = load_models()
    views = read_views(models, asked, args.pictures)
    methods = assistants(models)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in methods}
    for one in asked:
        for name, assistant in methods.items():
            answer = ask(assistant, one, views[one.view])
            outcomes[name].append(outcome(one, answer))
            if args.show:
                print(f"{name:12} {outcomes[name][-1].grade:14} {one.question} -> {answer.text}")
    rows = {name: summary(of) for name, of in outcomes.items()}
    for kind in KINDS:
        rows[f"foveal-{kind}"] = summary([one for one in outcomes["foveal"] if one.kind == kind])
    goal = {"truthfulness": f">= {MIN_TRUTHFULNESS} and above never's and always-text's"}
    ours, others = rows["foveal"], [rows[name] for name in ("never", "always-text")]
    met = ours["truthfulness"] >= max(MIN_TRUTHFULNESS, *(row["truthfulness"] for row in others))
    emit("answers", rows, goal, met, note="times of the whole answer")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_STEP}rd question")
    parser.add_argument("--data", type=Path, default=DATA, metavar="YAML")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="folder of photographs")
    parser.add_argument("--show", action="store_true", help="print every answer with its grade")
    parser.add_argument("--general", action="store_true", help="what a wearer asks from day to day")
    parser.add_argument("--everyday", action="store_true", help="what people ask an assistant")
    parser.add_argument("--tuning", action="store_true", help="the tuning half of --everyday")
    return parser


def _questions(args: argparse.Namespace) -> Path:
    if args.everyday:
        return EVERYDAY_TUNING if args.tuning else EVERYDAY
    return GENERAL if args.general else Path(args.data)


def present(asked: Iterable[Asked], pictures: Path) -> list[Asked]:
    """The questions whose photograph is there."""
    return [o for o in asked if not Path(o.view).suffix or (pictures / o.view).is_file()]


def read_questions(path: Path = DATA) -> list[Asked]:
    """The questions of a YAML file; raises ConfigError where one gives its answer away."""
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    asked = [
        Asked(
            kind,
            row["view"],
            row["question"],
            tuple(map(str, row.get("accept", ()))),
            (row["point"][0], row["point"][1]) if "point" in row else None,
            tuple(row.get("after", ())),
        )
        for kind in KINDS
        for row in table.get(kind, ())
    ]
    for one in asked:
        if one.kind != "unanswerable" and not one.accept:
            raise ConfigError(f"expected accepted words for {one.question!r} in {path}, got none")
    return asked


def read_views(
    models: Models, asked: Sequence[Asked], pictures: Path | None = None
) -> dict[str, SceneView]:
    """Every photograph as the language side sees it, read once.

    A view with a file's ending is a file of the folder `pictures`.
    """
    names = sorted({one.view for one in asked})
    return {name: _view(models, name, pictures) for name in names}


def _view(models: Models, name: str, pictures: Path | None) -> SceneView:
    if pictures is not None and Path(name).suffix:
        picture = np.asarray(imread(pictures / name))
    else:
        picture = np.asarray(getattr(skimage.data, name)())
    if picture.ndim == 2:
        picture = np.stack([picture] * 3, axis=-1)
    image = np.ascontiguousarray(picture[..., :3], dtype=np.uint8)
    return models.reader.read(Frame(0, 0, image, name))


def assistants(models: Models) -> dict[str, Assistant]:
    """The methods: the same models, with and without their choice."""
    return {
        "foveal": build_assistant(models),
        "composed": build_assistant(models, ReasoningConfig(model="composed")),
        "never": build_assistant(models, ReasoningConfig(decode=DecodeConfig(max_searches=0))),
        "always-text": build_assistant(models, ReasoningConfig(policy=PolicyConfig(search="text"))),
    }


def ask(assistant: Assistant, asked: Asked, view: SceneView) -> Answer:
    """One answer in a conversation of its own, five seconds after what was asked before."""
    assistant.forget()
    for number, earlier in enumerate(asked.after):
        at = (number - len(asked.after)) * 5 * NS_PER_S
        assistant.ask(Question(earlier, at), view, lambda _: None)
    return assistant.ask(Question(asked.question, 0, asked.point), view, lambda _: None)


def outcome(asked: Asked, answer: Answer) -> Outcome:
    """Grade one answer."""
    took_ms = answer.timings_ns["total"] / NS_PER_MS
    calls = tuple(search.kind for search in answer.searches)
    return Outcome(asked.kind, grade(asked, answer.text), calls, took_ms)


def grade(asked: Asked, text: str) -> Grade:
    """Right, a hallucination or a miss; an answer that refuses is never read for its words."""
    if asked.kind == "unanswerable":
        return "right" if DONT_KNOW in text else "hallucination"
    if any(refusal in text for refusal in REFUSALS):
        return "miss"
    said = _CITATION.sub("", text).replace("’", "'")
    right = any(re.search(rf"\b{re.escape(word)}", said, re.IGNORECASE) for word in asked.accept)
    return "right" if right else "hallucination"


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares (0..1) and times of some outcomes; nothing for none."""
    if not outcomes:
        return {}
    shares = dict(_shares(outcomes))
    times = np.array([one.took_ms for one in outcomes])
    return {
        "questions": len(outcomes),
        "accuracy": shares["right"],
        "hallucination": shares["hallucination"],
        "miss": shares["miss"],
        "truthfulness": shares["right"] - shares["hallucination"],
        "search_ratio": sum(bool(one.calls) for one in outcomes) / len(outcomes),
        "searches": sum(len(one.calls) for one in outcomes) / len(outcomes),
        "p50_ms": float(np.quantile(times, 0.5)),
        "p95_ms": float(np.quantile(times, 0.95)),
    }


def _shares(outcomes: Sequence[Outcome]) -> Iterator[tuple[Grade, float]]:
    for name in get_args(Grade):
        yield name, sum(one.grade == name for one in outcomes) / len(outcomes)


if __name__ == "__main__":
    main()
