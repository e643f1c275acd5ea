"""`foveal doctor`: what this machine has, which profile fits, and whether each stage works."""

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foveal.doctor.selftest import StageResult

HELP = "what this machine has, which profile fits it, and a test of every stage"
EPILOG = """examples:
  foveal doctor
  foveal doctor --config laptop          # test the stages as these settings have them
  foveal doctor --no-test --json
  foveal doctor --online                 # also ask whether the model hub can be reached

Exit code 0: every stage is ok; 1: one is missing something or failed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("--config", default="embedded", metavar="PROFILE|FILE")
    parser.add_argument("--no-test", action="store_true", help="facts and advice alone")
    parser.add_argument("--online", action="store_true", help="ask the hub, for three seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when every stage is ok, 1 otherwise; raises as `resolve_device` does."""
    from dataclasses import asdict

    from foveal.config.load import load_config
    from foveal.doctor.advice import advise
    from foveal.doctor.machine import examine
    from foveal.doctor.report import advice_lines, machine_lines, stage_line
    from foveal.doctor.selftest import run_stages
    from foveal.setup.processors import device_of

    config = load_config(args.config)
    device_of(config)  # a device that is not here is told at once
    machine = examine(args.online)
    advice = advise(machine)
    if not args.json:
        print("\n".join([*machine_lines(machine), *advice_lines(advice)]), flush=True)
    results: list[StageResult] = []
    for result in () if args.no_test else run_stages(config):
        results.append(result)
        if not args.json:
            print(stage_line(result), flush=True)
    if args.json:
        stages = [asdict(result) for result in results]
        print(json.dumps({"machine": asdict(machine), "advice": asdict(advice), "stages": stages}))
    return _code(results)


def _code(results: "Sequence[StageResult]") -> int:
    return int(any(result.state != "ok" for result in results))
