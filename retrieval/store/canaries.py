"""An index keeps what its encoder said of fixed texts, and asks a few of them again."""

import base64
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.encoders.canary import TEXTS, check
from retrieval.encoders.text import TextEncoder
from retrieval.store.encoding import encoder_number
from retrieval.store.schema import FILE, reading, transaction


def keep_canaries(db: sqlite3.Connection, encoder: TextEncoder) -> None:
    """Before anything is encoded: record an encoder that is new to the index, check a known one.

    Raises AssetError for one that says something else than when it was recorded: its vectors
    would stand beside those of the true one.
    """
    recorded = _recorded(db, encoder.id)
    if recorded is not None:
        check(encoder, recorded)
        return
    vectors = np.asarray(encoder.encode_text(TEXTS), "<f4")
    with transaction(db):
        number = encoder_number(db, encoder.id, encoder.dim)
        rows = [
            (number, place, text, vector.tobytes())
            for place, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
        ]
        db.executemany("INSERT INTO canaries VALUES (?, ?, ?, ?)", rows)


def check_canaries(folder: Path, encoder: TextEncoder) -> None:
    """Raises AssetError for an encoder that was swapped or edited since the index was built.

    An index from before canaries were kept has none, and passes.
    """
    with reading(folder / FILE) as db:
        recorded = _recorded(db, encoder.id)
    if recorded is not None:
        check(encoder, recorded)


def _recorded(db: sqlite3.Connection, encoder_id: str) -> dict[str, Any] | None:
    rows = db.execute(
        "SELECT vector FROM canaries JOIN encoders ON encoders.number = canaries.encoder"
        " WHERE encoders.id = ? ORDER BY place",
        (encoder_id,),
    ).fetchall()
    if not rows:
        return None
    joined = b"".join(vector for (vector,) in rows)
    return {"encoder": encoder_id, "texts": base64.b64encode(joined).decode("ascii")}
