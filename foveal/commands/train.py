"""`foveal train`: fit what this project ships weights for."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from foveal.examples import examples
from stream.writing import writing

HELP = "fit the weights that this project ships"
EPILOG = """examples:
  foveal train intents                    # reasoning/data/intents.yaml -> reasoning/weights/
  foveal train intents --data mine.yaml --out mine.safetensors --json
  foveal train everyday --coco DIR --coco128 DIR   # COCO's layout: annotations/, train2017/
  foveal train selector --config configs/train/selector.yaml --data DIR --work runs/selector
  foveal train stage1 --config configs/train/stage1.yaml --data DIR --work runs/stage1 \\
      --out stage1.safetensors
  foveal train stage2 --config configs/train/stage2.yaml --data DIR --work runs/stage2 \\
      --from stage1.safetensors --out reasoning/weights/pixsearch.safetensors
A stage that was stopped goes on from --work; remove that folder to begin again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    intents = actions.add_parser(
        "intents",
        help="what a question asks for (half a minute)",
        **examples(EPILOG, "train intents"),
    )
    intents.add_argument("--data", type=Path, help="YAML of example questions per intent")
    everyday = actions.add_parser(
        "everyday",
        help="80 everyday names (about ten minutes)",
        **examples(EPILOG, "train everyday"),
    )
    everyday.add_argument("--coco", type=Path, required=True, help="COCO folder: train2017 and val")
    everyday.add_argument("--coco128", type=Path, help="YOLO-seg folder; its first half is used")
    everyday.add_argument("--imagenet", type=Path, help="folder of wnid_name.jpg photographs")
    everyday.add_argument("--draws", type=int, default=4, help="crops per thing (default 4)")
    everyday.add_argument("--seed", type=int, default=0)
    staged = {
        "selector": "the region selector: what a phrase means of what is seen",
        "stage1": "the segmenting model: sentences worded from masks",
        "stage2": "the segmenting model: search-interleaved answers",
    }
    stages = [
        actions.add_parser(name, help=text, **examples(EPILOG, f"train {name}"))
        for name, text in staged.items()
    ]
    for stage in stages:
        stage.add_argument("--config", type=Path, required=True, help="YAML of settings")
        stage.add_argument("--data", type=Path, required=True, help="folder of training pictures")
        stage.add_argument("--work", type=Path, required=True, help="pictures, checkpoints, curves")
    for stage in stages[1:]:
        stage.add_argument(
            "--from",
            dest="start",
            action="append",
            default=[],
            metavar="FILE[:PART,PART]",
            help="weights to begin with, or parts of them (lm, connector, …); may be repeated",
        )
    for action in (intents, everyday, *stages):
        action.add_argument("--out", type=Path, help="safetensors file to write")
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the weights were written."""
    if args.out is not None:
        _check_writable(args.out)
    actions = {"intents": _intents, "everyday": _everyday, "selector": _selector}
    out, figures = actions.get(args.action, _stage)(args)
    if args.json:
        print(json.dumps({**figures, "file": str(out)}))
    else:
        print(f"{out}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    return 0


def _check_writable(path: Path) -> None:
    """Before minutes of training; raises OutputError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()


def _intents(args: argparse.Namespace) -> "tuple[Path, dict[str, Any]]":
    from foveal.setup.assistant import load_language_model
    from foveal.setup.retrieval.search import load_encoder
    from reasoning.rules.intents import DATA, WEIGHTS, fit, read_examples, save_weights

    examples = read_examples(args.data or DATA)
    print(f"fitting on {len(examples)} questions …", file=sys.stderr)
    weights, accuracy = fit(examples, load_language_model(), load_encoder())
    out = args.out or WEIGHTS
    save_weights(weights, out)
    return out, {"questions": len(examples), "leave_one_out_accuracy": round(accuracy, 4)}


def _everyday(args: argparse.Namespace) -> "tuple[Path, dict[str, Any]]":
    from foveal.jobs.progress import progress
    from foveal.setup.retrieval.search import load_backbone
    from foveal.training.everyday.fit import EverydayOptions, fit_head, measure, training_pictures
    from foveal.training.everyday.pictures import read_coco
    from perception.scene.recogniser import WEIGHTS, save_head

    backbone = load_backbone()
    options = EverydayOptions(draws=args.draws, seed=args.seed)
    with progress("reading pictures", "features") as advance:
        pictures = training_pictures(args.coco, args.coco128, args.imagenet)
        head, crops = fit_head(
            pictures, backbone, options, lambda what, done, total: advance(done, total, what)
        )
    out = args.out or WEIGHTS
    save_head(head, out)
    held_out = args.coco / "annotations" / "instances_val2017.json"
    scores = measure(read_coco(held_out, args.coco / "val2017"), backbone, head)
    return out, {
        "pictures": len(pictures),
        "crops": crops,
        "held_out_things": scores.things,
        "top1_head": round(scores.head, 4),
        "top1_both": round(scores.both, 4),
    }


def _selector(args: argparse.Namespace) -> "tuple[Path, dict[str, Any]]":
    from foveal.config.reading import load_settings
    from foveal.training.selector.run import SelectorSettings, train_selector
    from reasoning.pixsearch.region_selector import WEIGHTS

    out = args.out or WEIGHTS
    settings = load_settings(SelectorSettings, args.config)
    return out, train_selector(settings, args.data, args.work, out)


def _stage(args: argparse.Namespace) -> "tuple[Path, dict[str, Any]]":
    from foveal.config.reading import load_settings
    from foveal.training.pixsearch.configuration import PixSearchSettings
    from foveal.training.pixsearch.run import train
    from reasoning.pixsearch.checkpoint import WEIGHTS

    out = args.out or WEIGHTS
    settings = load_settings(PixSearchSettings, args.config)
    return out, train(settings, args.data, args.work, args.start, out)
