"""Memory of reading a long document: `read_folder` beside the same parser given all of it at once.

    python -m benchmarks.long_documents [--json] [--quick]

Documents are made up of random words: prose in chapters, a list, a table, and one line without end.
Each is read in a process of its own; `memory_mb` is its greatest resident size, `grown_mb` what of
it came while reading. The peer reads documents of a tenth of the size, as its memory grows with it.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.report import emit
from retrieval.sources.entries import Entry
from retrieval.sources.folder import read_folder
from retrieval.sources.notes import read_note

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

MB = 1_000_000
MAX_MEMORY_MB = 200
WORDS = [
    "the",
    "boiler",
    "cellar",
    "valve",
    "winter",
    "house",
    "water",
    "light",
    "door",
    "key",
    "drawer",
    "blue",
    "red",
    "old",
    "in",
    "on",
]


def main() -> None:
    """Read every kind of document and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="always printed; taken for its kin")
    parser.add_argument("--quick", action="store_true", help="documents of 5 MB")
    parser.add_argument("--child", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(_read(args.child[0], Path(args.child[1]))))
        return
    size = 5 * MB if args.quick else 100 * MB
    rows = dict[str, dict[str, float | int | None]]()
    for kind in KINDS:
        rows[f"foveal, {kind}"] = _measured("streamed", kind, size)
        rows[f"at once, {kind}"] = _measured("whole", kind, size // 10)
    ours = [row["memory_mb"] or 0.0 for name, row in rows.items() if name.startswith("foveal")]
    goal = {"memory_mb": f"<= {MAX_MEMORY_MB} for {size // MB} MB"}
    emit("long_documents", rows, goal, max(ours) <= MAX_MEMORY_MB)


def _prose(draw: random.Random) -> Iterator[str]:
    for number in range(1 << 40):
        head = f"## Chapter {number}\n\n" if number % 50 == 0 else ""
        told = (" ".join(draw.choices(WORDS, k=14)).capitalize() for _ in range(6))
        yield f"{head}{'. '.join(told)}.\n\n"


def _items(draw: random.Random) -> Iterator[str]:
    while True:
        yield f"- {' '.join(draw.choices(WORDS, k=14))}\n"


def _rows(draw: random.Random) -> Iterator[str]:
    yield "| thing | where | colour |\n|---|---|---|\n"
    while True:
        yield f"| {' '.join(draw.choices(WORDS, k=4))} | {draw.choice(WORDS)} | blue |\n"


def _line(draw: random.Random) -> Iterator[str]:
    while True:
        yield f"{' '.join(draw.choices(WORDS, k=14))}. "


KINDS: dict[str, Callable[[random.Random], Iterator[str]]] = {
    "prose": _prose,
    "list": _items,
    "table": _rows,
    "one line": _line,
}


def _measured(method: str, kind: str, size: int) -> dict[str, float | int | None]:
    with tempfile.TemporaryDirectory() as folder:
        path, written = Path(folder) / "long.md", 0
        with path.open("w") as file:
            for part in KINDS[kind](random.Random(0)):
                written += file.write(part)
                if written >= size:
                    break
        command = [sys.executable, "-m", "benchmarks.long_documents", "--child", method, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"document_mb": size / MB, **json.loads(done.stdout)}


def _read(method: str, folder: Path) -> dict[str, float]:
    before, passages = _resident(), 0
    if method == "whole":
        passages = len(read_note((folder / "long.md").read_text()).passages)
    else:
        for item in read_folder(folder):
            passages += len(item.passages) if isinstance(item, Entry) else 0
    after = _resident()
    return {"passages": passages, "memory_mb": after, "grown_mb": after - before}


def _resident() -> float:
    """The greatest resident size so far, MB (on Linux, where it is told in KiB)."""
    if resource is None:
        raise SystemExit("expected a system that counts a process's peak memory (Linux, macOS)")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


if __name__ == "__main__":
    main()
