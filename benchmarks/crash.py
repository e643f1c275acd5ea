"""kill -9 in the middle of changes: nothing acknowledged is lost, nothing else is seen.

    python -m benchmarks.crash [--json] [--quick] [--kills N] [--seed N]

A process builds, adds to and deletes from an index, says what it begins and what was acknowledged,
and kills itself with SIGKILL: at a statement drawn at random, or at a moment drawn at random from
a thread of its own, which may be in the middle of a write. Then the index is opened. `lost` counts
entries that were acknowledged and are not there or have other words, `unacknowledged` those that
are there without it, `torn` the kills after which a change was there in part, `faults` what
`foveal index check` finds. A change that was committed before its word got out is whole, and is
counted as `committed`. Every second change that was cut off is made once more: `resumed` counts
those that found vectors waiting, `encoded_twice` the texts that had one and were encoded all the
same.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import emit
from retrieval.encoders.text import Progress, Vectors, unit_rows
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store import encoding
from retrieval.store.changes import add_entries, delete_entries, replace_entries
from retrieval.store.check import check_index
from retrieval.store.index_folder import has_index, index_writer
from retrieval.store.knowledge import load_store

KILLS, QUICK_KILLS = 200, 20
CHANGES = 4  # that a process makes at most
STATEMENTS = 220  # of a few changes
SECONDS = 0.06  # that a few changes take
ENTRIES = 60  # that there are to choose from
ROUND = 8  # texts encoded between two writes: small, so that kills fall between them

ZERO = ("lost", "unacknowledged", "torn", "faults", "encoded_twice")
State = dict[str, tuple[str, ...]]  # passages by id


class WordVectors:
    """A `TextEncoder` without weights: a text's vector is drawn from its digest."""

    id, dim = "drawn-32", 32

    def __init__(self) -> None:
        self.encoded: list[bytes] = []  # keys of texts

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, 32] float32 of unit norm."""
        keys = [encoding.text_key(self.id, text) for text in texts]
        self.encoded += keys
        seeds = [int.from_bytes(key[:8], "little") for key in keys]
        rows = [np.random.default_rng(seed).standard_normal(self.dim) for seed in seeds]
        return unit_rows(np.array(rows, np.float32).reshape(-1, self.dim))


@dataclass(slots=True)
class Tally:
    """What was seen after the kills."""

    kills: int = 0
    lost: int = 0
    unacknowledged: int = 0
    torn: int = 0
    faults: int = 0
    committed: int = 0
    resumed: int = 0
    encoded_twice: int = 0
    during: dict[str, int] = field(default_factory=dict)  # kills by what was going on


def main() -> int:
    """Run and print; exit code 0 whether or not the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_KILLS} kills")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    kills = QUICK_KILLS if args.quick else args.kills
    with tempfile.TemporaryDirectory() as folder:
        tally = crash(Path(folder) / "index", kills, args.seed)
    row = {name: getattr(tally, name) for name in ZERO}
    row |= {"committed": tally.committed, "resumed": tally.resumed, "kills": tally.kills}
    row |= {f"in_{what}": count for what, count in sorted(tally.during.items())}
    goal = dict.fromkeys(ZERO, "0")
    emit("crash", {"foveal-index": row}, goal, all(row[name] == 0 for name in goal))
    return 0


def crash(folder: Path, kills: int, seed: int = 0) -> Tally:
    """Kill so many processes that change the index, and look at it after each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["retrieval.store.index_folder", "benchmarks.report"])
    rng, tally, state = random.Random(seed), Tally(), State()
    while tally.kills < kills:
        ours, theirs = context.Pipe(duplex=False)
        victim = context.Process(target=_change, args=(str(folder), rng.random(), theirs))
        victim.start()
        theirs.close()
        said = _heard(ours)
        victim.join()
        if victim.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"expected a process that is killed, got exit {victim.exitcode}")
        tally.kills += victim.exitcode != 0
        state = _look(folder, state, said, tally, victim.exitcode != 0)
    return tally


def _heard(pipe: Connection) -> list[dict[str, Any]]:
    said = []
    with suppress(EOFError):
        while True:
            said.append(dict(json.loads(pipe.recv_bytes())))
    return said


def _change(folder: str, seed: float, pipe: Connection) -> None:
    """In a process of its own: changes, until it kills itself."""
    encoding.ROUND_TEXTS = ROUND
    rng = random.Random(seed)
    statements = rng.randrange(1, STATEMENTS) if rng.random() < 0.5 else None
    if statements is None:
        delay = rng.uniform(0, SECONDS)
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def count(_: str) -> None:
        nonlocal statements
        if statements is not None:
            statements -= 1
            if statements <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(CHANGES):
        kind, ids = rng.choice(("build", "add", "delete")), _drawn(rng)
        if not has_index(Path(folder)):
            kind = "build"
        begun = {"begins": kind, "ids": ids, "words": str(rng.random())}
        pipe.send_bytes(json.dumps(begun).encode())
        with index_writer(Path(folder), new=kind == "build") as db:
            db.set_trace_callback(count)
            _make(db, begun, WordVectors())
            pipe.send_bytes(json.dumps({"acknowledged": kind}).encode())
            db.set_trace_callback(None)


def _make(db: sqlite3.Connection, begun: Mapping[str, Any], encoder: WordVectors) -> None:
    told = tuple(_entry(name, begun["words"]) for name in begun["ids"])
    if begun["begins"] == "build":
        replace_entries(db, Knowledge("crash", told), encoder)
    elif begun["begins"] == "add":
        add_entries(db, Knowledge("crash", told), encoder, replace=True)
    else:
        delete_entries(db, begun["ids"])


def _drawn(rng: random.Random) -> list[str]:
    return [f"crash:{number}" for number in rng.sample(range(ENTRIES), rng.randrange(1, 25))]


def _entry(name: str, words: str) -> Entry:
    """Half of the entries say the same every time."""
    said = words if int(name.partition(":")[2]) % 2 else "always"
    return Entry(name, f"Thing {name}", "", (f"{name} says {said}.", f"It is {name}."))


def _after(state: Mapping[str, tuple[str, ...]], begun: Mapping[str, Any]) -> State:
    """What an index holds when a change is done."""
    told = {name: _entry(name, begun["words"]).passages for name in begun["ids"]}
    if begun["begins"] == "build":
        return told
    if begun["begins"] == "add":
        return {**state, **told}
    return {name: passages for name, passages in state.items() if name not in told}


def _look(
    folder: Path, state: State, said: Sequence[Mapping[str, Any]], tally: Tally, killed: bool
) -> State:
    """Compare the index with what was said; returns what it holds."""
    flying: Mapping[str, Any] | None = None
    for one in said:
        if "begins" in one:
            flying = one
        elif flying is not None:
            state, flying = _after(state, flying), None
    if killed:
        what = "between" if flying is None else str(flying["begins"])
        tally.during[what] = tally.during.get(what, 0) + 1
    found = _read(folder, tally)
    if found == state:
        if flying is not None and killed and tally.kills % 2:
            return _resume(folder, state, flying, tally)
        return state
    if flying is not None and found == _after(state, flying):
        tally.committed += 1
        return found
    wanted = {*state.items(), *(_after(state, flying).items() if flying else ())}
    tally.lost += len(state.items() - found.items())
    tally.unacknowledged += len(found.items() - wanted)
    tally.torn += 1
    return found


def _resume(folder: Path, state: State, begun: Mapping[str, Any], tally: Tally) -> State:
    """The same change once more, to its end."""
    encoder = WordVectors()
    with index_writer(folder, new=True) as db:
        stored = {bytes(key) for (key,) in db.execute("SELECT key FROM vectors")}
        tally.resumed += bool(check_index(folder).waiting)
        _make(db, begun, encoder)
    tally.encoded_twice += len(stored.intersection(encoder.encoded))
    return _after(state, begun)


def _read(folder: Path, tally: Tally) -> State:
    """All entries, each of which is found by its own words."""
    if not has_index(folder):
        return {}
    tally.faults += len(check_index(folder).faults)
    store = load_store(folder)
    texts = [entry.entity_text for entry in store.entries]
    nearest = store.entity.search(WordVectors().encode_text(texts), 1)[1]
    tally.faults += int((nearest.ravel() != np.arange(len(texts))).sum())
    return {entry.id: entry.passages for entry in store.entries}


if __name__ == "__main__":
    raise SystemExit(main())
