"""`foveal train`: fit what this project ships weights for."""

import argparse
import json
import sys
from pathlib import Path

EPILOG = """examples:
  foveal train intents                    # reasoning/data/intents.yaml -> reasoning/weights/
  foveal train intents --data mine.yaml --out mine.safetensors --json
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser(
        "train",
        help="fit the weights that this project ships",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    intents = actions.add_parser("intents", help="what a question asks for (half a minute)")
    intents.add_argument("--data", type=Path, help="YAML of example questions per intent")
    intents.add_argument("--out", type=Path, help="safetensors file to write")
    intents.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when the weights were written."""
    from foveal.compose import load_language_model
    from foveal.search_setup import load_encoder
    from reasoning.intents import DATA, WEIGHTS, fit, read_examples, save_weights

    examples = read_examples(args.data or DATA)
    print(f"fitting on {len(examples)} questions …", file=sys.stderr)
    weights, accuracy = fit(examples, load_language_model(), load_encoder())
    out = args.out or WEIGHTS
    save_weights(weights, out)
    figures = {"questions": len(examples), "leave_one_out_accuracy": round(accuracy, 4)}
    if args.json:
        print(json.dumps({**figures, "file": str(out)}))
    else:
        print(f"{out}: leave-one-out accuracy {accuracy:.3f} on {len(examples)} questions")
    return 0
