"""The `foveal` command: one sub-command per module in foveal/commands."""

import argparse
import errno
import importlib
import os
import pkgutil
import re
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence

import foveal.commands
from stream import extensions
from stream.errors import ConfigError, FovealError, MissingDeviceError

_NO_LIBRARY = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")
_NEGATIVE = re.compile(r"-\.?\d")
_DEBIAN = {  # OpenCV's wheel links these; a slim image lacks them
    "libGL.so.1": "libgl1 (or opencv-python-headless in the place of opencv-python)",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
}
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with every sub-command; heavy imports stay inside the commands' `run`."""
    parser = argparse.ArgumentParser(
        prog="foveal",
        description="A streaming assistant for wearable cameras: keyframes, masklets, "
        "and answers grounded in pixels that search only when they must.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in sorted(pkgutil.iter_modules(foveal.commands.__path__), key=lambda m: m.name):
        command = importlib.import_module(f"foveal.commands.{module.name}")
        name = module.name.replace("_", "-")
        own = subparsers.add_parser(
            name,
            help=command.HELP,
            epilog=command.EPILOG,
            formatter_class=RawDescriptionHelpFormatter,
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    for name in sorted(extensions.known("commands")):
        try:
            extensions.load("commands", name)(subparsers)
        except ConfigError as error:  # one broken package leaves the other commands alone
            print(f"foveal: the command {name} is left out: {error}", file=sys.stderr)
    return parser


def _in_words(error: FovealError | ImportError | OSError) -> str | None:
    """One line for what a user can mend; None for a defect, which keeps its traceback."""
    if isinstance(error, FovealError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, ImportError):
        lacks = _NO_LIBRARY.match(str(error))
        if lacks is None:
            return None
        package = _DEBIAN.get(lacks[1], "its package")
        return f"expected the system library {lacks[1]}; install {package} (docs/install.md)"
    if error.filename is None and error.errno != errno.ENOSPC:
        return None  # a socket's, a pipe's
    return ": ".join(filter(None, (str(error.filename or ""), error.strerror or str(error))))


def _joined(words: Sequence[str]) -> list[str]:
    """`--box -5,80,60,120` as `--box=-5,80,60,120`: argparse takes the numbers for an option."""
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        if _NEGATIVE.match(word) and before.startswith("--") and "=" not in before:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 refused with a reason, 2 bad usage, 130 interrupted."""
    args = build_parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    try:
        code = int(args.run(args))
        sys.stdout.flush()  # a full disk or a reader that has gone is met here, not at exit
        return code
    except KeyboardInterrupt:
        print("foveal: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # nobody reads the output any more: `foveal models list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return EXIT_FAILED
    except (FovealError, ImportError, OSError) as error:
        said = _in_words(error)
        if said is None:
            raise
        print(f"foveal: {said}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, MissingDeviceError) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
