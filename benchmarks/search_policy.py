"""Search when it must: model-triggered calls beside never and always, and what each modality gives.

    python -m benchmarks.search_policy [--json] [--quick] [--data DIR] [--tuning] [--show]

The questions (benchmarks/data/search_policy.yaml) are asked of photographs: facts about the thing
in view or pointed at, facts that have nothing to do with it, what sight alone tells, and what
nobody can know. Photographs are files of DIR (default ../shared/data) or scikit-image's; questions
whose photograph is absent are left out and counted. Every method is the same model with the same
index:

    never          no search
    always-text    the question is searched for, whatever it asks, with the name of what is in view
                   or pointed at in the place of its pronoun
    always-image   the whole picture is searched for first, then words where that does not tell
    always-region  the same with the region that is meant
    foveal         the model decides
    foveal-no-X    without one modality     foveal-budget-N  at most N calls (foveal's own is 3)

`search_ratio` is the share of questions with a call, `searches` calls per question, `text`, `image`
and `region` its parts. Answers are graded as in benchmarks.answers, by whole words; shares carry
their 95 % interval (Wilson). --tuning asks the other half of the questions, on which gates may be
set; figures to report come from the first.

--model pixsearch asks the trained model, which writes freely: it has no policy to set, so the
methods are never, always (a gate of 0 and one call), foveal-no-X, foveal-budget-N, and gates from
0.1 to 0.9.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.answers import outcome
from benchmarks.grading import KINDS, Outcome, summary
from benchmarks.questions import (
    PICTURES,
    QUICK_STEP,
    SEARCH_POLICY,
    SEARCH_POLICY_TUNING,
    ask,
    present,
    read_questions,
    read_views,
)
from benchmarks.report import emit
from foveal.config.models import PixSearchConfig, ReasoningConfig
from foveal.setup.assistant import Models, build_assistant, load_models
from reasoning.generation.config import DecodeConfig, LogitsProcessorConfig, PolicyConfig
from reasoning.generation.conversation import Assistant
from stream.events import QueryKind

MAX_SHARE = 0.67  # of always-text's searches (MMSearch-R1, arXiv 2506.20670)
TRAINED_TOKENS = 64  # of the trained model's own in an answer
GATES = (0.1, 0.3, 0.7, 0.9)  # 0.5 is `foveal`
BUDGETS = (1, 2, 4)  # 0 is `never`, 3 is `foveal`


def main() -> None:
    """Ask every method every question and print what came of it."""
    args = _parser().parse_args()
    everything = read_questions(SEARCH_POLICY_TUNING if args.tuning else SEARCH_POLICY)
    asked = present(everything, args.data)[:: QUICK_STEP if args.quick else 1]
    models = load_models()
    views = read_views(models, asked, args.data)
    methods = assistants(models, args.only, args.model)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in methods}
    for one in asked:
        for name, assistant in methods.items():
            answer = ask(assistant, one, views[one.view])
            outcomes[name].append(outcome(one, answer))
            if args.show:
                last = outcomes[name][-1]
                calls = "+".join(last.calls) or "-"
                print(f"{name:16} {last.grade:14} {calls:12} {one.question} -> {answer.text}")
    rows = {name: row_of(of) for name, of in outcomes.items()}
    for kind in KINDS:
        rows[f"foveal-{kind}"] = row_of([o for o in outcomes["foveal"] if o.kind == kind])
    ours, always = rows["foveal"], rows.get("always-text", rows["foveal"])
    enough = ours["accuracy"] >= always["accuracy"]
    goal = {"accuracy": ">= always-text", "searches": f"<= {MAX_SHARE}x always-text"}
    note = f"{len(asked)} questions asked, {len(everything) - len(present(everything, args.data))} "
    note += "left out for want of their photograph"
    met = enough and ours["searches"] <= MAX_SHARE * always["searches"]
    emit("search_policy", rows, goal, met, note)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_STEP}rd question")
    parser.add_argument("--data", type=Path, default=PICTURES, help="folder of the photographs")
    parser.add_argument("--tuning", action="store_true", help="ask the tuning half")
    parser.add_argument("--model", choices=["rules", "pixsearch"], default="rules")
    parser.add_argument("--only", nargs="*", metavar="METHOD", help="these methods and foveal")
    parser.add_argument("--show", action="store_true", help="print every answer with its grade")
    return parser


def configs() -> dict[str, ReasoningConfig]:
    """The methods' settings; everything else is shared."""
    found = {
        "foveal": ReasoningConfig(),
        "never": ReasoningConfig(decode=DecodeConfig(max_searches=0)),
        "always-text": ReasoningConfig(policy=PolicyConfig(search="text")),
        "always-image": ReasoningConfig(policy=PolicyConfig(search="image")),
        "always-region": ReasoningConfig(policy=PolicyConfig(search="region")),
        "foveal-no-text": ReasoningConfig(policy=PolicyConfig(text=False)),
        "foveal-no-image": ReasoningConfig(policy=PolicyConfig(image=False)),
        "foveal-no-region": ReasoningConfig(policy=PolicyConfig(region=False)),
    }
    for budget in BUDGETS:
        limits = DecodeConfig(max_searches=budget)
        found[f"foveal-budget-{budget}"] = ReasoningConfig(decode=limits)
    return found


def trained_configs() -> dict[str, ReasoningConfig]:
    """The same for the trained model; the embedded reply limit keeps a run within an hour."""

    def asked(searches: int = 3, **choice: float) -> ReasoningConfig:
        limits = DecodeConfig(max_tokens=TRAINED_TOKENS, max_searches=searches)
        trained = PixSearchConfig(LogitsProcessorConfig(**choice))  # type: ignore[arg-type]
        return ReasoningConfig(model="pixsearch", decode=limits, pixsearch=trained)

    found = {"foveal": asked(), "never": asked(0), "always": asked(1, search_gate=0.0)}
    found |= {f"foveal-no-{kind}": asked(**{kind: False}) for kind in get_args(QueryKind)}
    found |= {f"foveal-budget-{budget}": asked(budget) for budget in BUDGETS}
    return found | {f"foveal-gate-{gate}": asked(search_gate=gate) for gate in GATES}


def assistants(
    models: Models, only: Sequence[str] | None = None, model: str = "rules"
) -> dict[str, Assistant]:
    """The methods over one set of models; `foveal` is always among them."""
    table = trained_configs() if model == "pixsearch" else configs()
    return {
        name: build_assistant(models, config)
        for name, config in table.items()
        if only is None or name == "foveal" or name in only
    }


def row_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The shares of `summary` and the calls per question of each modality."""
    row = summary(outcomes)
    for kind in get_args(QueryKind) if outcomes else ():
        row[kind] = sum(one.calls.count(kind) for one in outcomes) / len(outcomes)
    return row


if __name__ == "__main__":
    main()
