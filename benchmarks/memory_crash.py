"""kill -9 while a memory is written: what was acknowledged is there, whole, and nothing half of it.

    python -m benchmarks.memory_crash [--json] [--quick] [--kills N]

A process appends events with two sights each and says so after every one; it is killed after a
random number of them, and the next one opens the file. `lost`: events that were acknowledged and
are not there. `half`: events whose sights are not all there. `strange`: events beyond the one that
was on its way. `foveal-forget` kills a process that forgets one event after another: `lost` counts
what was acknowledged as forgotten and is still there, `left` the kills after which its bytes are.
emem (PyPI), where it is installed, acknowledges by returning from `add`; `not_found` are events
that its database has and its index of vectors, saved when it closes, has not.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from benchmarks.report import emit
from retrieval.memory.disk.schema import open_to_read
from retrieval.memory.disk.store import MemoryStore

KILLS, QUICK_KILLS = 100, 5  # of each kind: two hundred in all
MOST = 60  # events before a kill
ROOT = Path(__file__).resolve().parent.parent
COMMON = """
import sys
from pathlib import Path
from retrieval.memory.disk.store import MemoryStore, Record
from retrieval.memory.disk.forgetting import forget_event
from retrieval.memory.events import Event, MemorySession, Sight
store = MemoryStore(Path(sys.argv[1]))
store.begin(MemorySession("s", 10**18))
"""
APPEND = """
for number in range(int(sys.argv[2]), 10**6):
    start = number * 10**9
    event = Event(f"e{number}", "s", start, start + 10**9, text=f"word{number:06}x and more words")
    sights = [Sight(event.id, track, "cup", .5, (0, 0, 9, 9), start, start) for track in (1, 2)]
    store.append([Record(event, sights)])
    print(number, flush=True)
"""
FORGET = """
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    forget_event(store, f"e{number}")
    print(number, flush=True)
"""
EMEM = """
import sys
from emem import SpatioTemporalMemory
from emem.embeddings import CallableEmbeddingProvider
import numpy as np
def embed(texts):
    return [np.random.default_rng(sum(text.encode())).normal(size=32).tolist() for text in texts]
memory = SpatioTemporalMemory(sys.argv[1], embedding_provider=CallableEmbeddingProvider(embed))
for number in range(int(sys.argv[2]), 10**6):
    memory.add(f"word{number:06}x and more words", 0.0, 0.0)
    print(number, flush=True)
"""


def main() -> int:
    """Run and print; exit code 0 whether or not the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_KILLS} kills of each kind")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"of each kind (default {KILLS})")
    args = parser.parse_args()
    kills = QUICK_KILLS if args.quick else args.kills
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wearer.memory"
        results = {"foveal": appending(path, kills), "foveal-forget": forgetting(path, kills)}
        if find_spec("emem"):
            results["emem"] = emem(Path(folder), kills)
    wrong = sum(results["foveal"][name] for name in ("lost", "half", "strange"))
    wrong += results["foveal-forget"]["lost"] + results["foveal-forget"]["half"]
    goal = {"lost": "0", "half": "0", "strange": "0"}
    emit("memory_crash", results, goal, wrong == 0)
    return 0


def killed(code: str, after: int, *given: object) -> int | None:
    """Run until it has acknowledged some, kill it; the last that it acknowledged."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, given)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += process.stdout.read().split("\n")
    said = [int(line) for line in lines if line.strip().isdigit()]
    return max(said, default=None)


def appending(path: Path, kills: int) -> dict[str, int]:
    """Kills while events are appended."""
    rng, first, found = random.Random(0), 0, dict.fromkeys(("lost", "half", "strange"), 0)
    for _ in range(kills):
        last = killed(COMMON + APPEND, rng.randint(1, MOST), path, first)
        wanted = first if last is None else last + 1
        with closing(open_to_read(path)) as reader:
            count = reader.execute("SELECT count(*) FROM event").fetchone()[0]
            whole = reader.execute(
                "SELECT count(*) FROM (SELECT event FROM sight GROUP BY event HAVING count(*) = 2)"
            ).fetchone()[0]
        found["lost"] += max(0, wanted - count)
        found["strange"] += max(0, count - wanted - 1)
        found["half"] += count - whole
        first = count
    return {"kills": kills, "events": first, **found}


def forgetting(path: Path, kills: int) -> dict[str, int]:
    """Kills while events are forgotten, one after the other."""
    rng, first, found = random.Random(1), 0, {"lost": 0, "half": 0, "left": 0}
    with closing(open_to_read(path)) as reader:
        count = reader.execute("SELECT count(*) FROM event").fetchone()[0]
    done = 0
    for _ in range(kills):
        if first + MOST >= count:
            break
        last = killed(COMMON + FORGET, rng.randint(1, 5), path, first, count)
        done += 1
        with closing(open_to_read(path)) as reader:
            there = {row[0] for row in reader.execute("SELECT id FROM event")}
            orphans = reader.execute(
                "SELECT count(*) FROM sight WHERE event NOT IN (SELECT number FROM event)"
            ).fetchone()[0]
        gone = [] if last is None else range(first, last + 1)
        found["lost"] += sum(f"e{number}" in there for number in gone)
        found["half"] += orphans
        data = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
        found["left"] += any(f"word{number:06}x".encode() in data for number in gone)
        first = min(int(name[1:]) for name in there)
        MemoryStore(path).close()
    return {"kills": done, "events": count, **found}


def emem(folder: Path, kills: int) -> dict[str, int]:
    """The same of emem."""
    import sqlite3

    path, rng, first = folder / "emem.db", random.Random(0), 0
    found = {"lost": 0, "strange": 0, "not_found": 0}
    for _ in range(kills):
        last = killed(EMEM, rng.randint(1, MOST), path, first)
        wanted = first if last is None else last + 1
        with closing(sqlite3.connect(path)) as reader:
            rows = reader.execute("SELECT count(DISTINCT text) FROM observations").fetchone()[0]
            mapped = reader.execute("SELECT count(*) FROM hnsw_mappings").fetchone()[0]
        found["lost"] += max(0, wanted - rows)
        index = path.with_suffix(".hnsw.bin")
        found["not_found"] = mapped if not index.exists() else 0
        first = rows
    return {"kills": kills, "events": first, **found}


if __name__ == "__main__":
    raise SystemExit(main())
