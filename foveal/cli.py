"""The `foveal` command: one sub-command per module in foveal/commands."""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

import foveal.commands
from stream import extensions
from stream.errors import ConfigError, FovealError

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with every sub-command; heavy imports stay inside the commands' `run`."""
    parser = argparse.ArgumentParser(
        prog="foveal",
        description="A streaming assistant for wearable cameras: keyframes, masklets, "
        "and answers grounded in pixels that search only when they must.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in sorted(pkgutil.iter_modules(foveal.commands.__path__), key=lambda m: m.name):
        importlib.import_module(f"foveal.commands.{module.name}").add_parser(subparsers)
    for name in sorted(extensions.known("commands")):
        try:
            extensions.load("commands", name)(subparsers)
        except ConfigError as error:  # one broken package leaves the other commands alone
            print(f"foveal: the command {name} is left out: {error}", file=sys.stderr)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 refused with a reason, 2 bad usage, 130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except FovealError as error:
        print(f"foveal: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("foveal: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
