"""Answer quality on questions with known right answers, search by policy beside never and always.

    python -m benchmarks.answers [--json] [--quick] [--data questions.yaml] [--show]
    python -m benchmarks.answers --general
    python -m benchmarks.answers --everyday [--tuning] [--pictures DIR]
    python -m benchmarks.answers --fresh

Every question is asked on its own (or after what `after` lists), of a view that was read before. An
answer is right when it holds an accepted word or phrase as whole words (benchmarks/grading.py), a
miss when it refuses ("I don't know") though the answer can be known, and a hallucination when it is
neither; of a question that cannot be answered only "I don't know" is right. `truthfulness` is
accuracy less hallucination; shares carry their 95 % interval (Wilson). `never` takes the search
away, `always-text` makes every question a text search, its pronoun replaced by the name of what is
in view. Times are of the whole answer, from the question on.

--general, --everyday and --fresh ask other sets; of --everyday only the --tuning half was worked
on. Views are scikit-image's photographs, files of DIR (default ../shared/data) and frames of
recordings there (`clips/walk.mp4@2.5`); questions whose file is absent are left out.
"""

import argparse
from pathlib import Path

from benchmarks.grading import KINDS, Outcome, grade, summary
from benchmarks.questions import (
    DATA,
    EVERYDAY,
    EVERYDAY_TUNING,
    FRESH,
    GENERAL,
    PICTURES,
    QUICK_STEP,
    Asked,
    ask,
    present,
    read_questions,
    read_views,
)
from benchmarks.report import emit
from foveal.config.models import ReasoningConfig
from foveal.setup.assistant import Models, build_assistant, load_models
from reasoning.generation.config import DecodeConfig, PolicyConfig
from reasoning.generation.conversation import Assistant
from stream.clock import NS_PER_MS
from stream.events import Answer

MIN_TRUTHFULNESS = 0.5


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
    parser.add_argument("--fresh", action="store_true", help="what no rule was written from")
    parser.add_argument("--tuning", action="store_true", help="the tuning half of --everyday")
    return parser


def _questions(args: argparse.Namespace) -> Path:
    if args.fresh:
        return FRESH
    if args.everyday:
        return EVERYDAY_TUNING if args.tuning else EVERYDAY
    return GENERAL if args.general else Path(args.data)


def assistants(models: Models) -> dict[str, Assistant]:
    """The methods: the same models, with and without their choice."""
    return {
        "foveal": build_assistant(models),
        "never": build_assistant(models, ReasoningConfig(decode=DecodeConfig(max_searches=0))),
        "always-text": build_assistant(models, ReasoningConfig(policy=PolicyConfig(search="text"))),
    }


def outcome(asked: Asked, answer: Answer) -> Outcome:
    """Grade one answer."""
    took_ms = answer.timings_ns["total"] / NS_PER_MS
    calls = tuple(search.kind for search in answer.searches)
    return Outcome(asked.kind, grade(asked.kind, asked.accept, answer.text), calls, took_ms)


if __name__ == "__main__":
    main()
