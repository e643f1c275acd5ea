"""Texts to stored vectors: each text is encoded once, and what was encoded outlives a kill.

A vector is stored under a key of its encoder and its text as soon as its round is done. Nobody
sees it before an entry refers to it; a build that starts again finds it.
"""

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from retrieval.encoders.text import Progress, TextEncoder, Vectors
from retrieval.store.schema import transaction
from stream.errors import AssetError, QueryError

ROUND_TEXTS = 512  # encoded between two writes
LOOKED_UP = 500  # keys in one statement


def encoder_number(db: sqlite3.Connection, encoder_id: str, dim: int) -> int:
    """The row of an encoder, made where it is new; raises QueryError for another length."""
    found = db.execute("SELECT number, dim FROM encoders WHERE id = ?", (encoder_id,)).fetchone()
    if found is None:
        cursor = db.execute("INSERT INTO encoders (id, dim) VALUES (?, ?)", (encoder_id, dim))
        return int(cursor.lastrowid or 0)
    if found[1] != dim:
        raise QueryError(f"expected vectors of {found[1]} from {encoder_id}, got {dim}")
    return int(found[0])


def text_key(encoder_id: str, text: str) -> bytes:
    """16 bytes that differ for other texts and other encoders."""
    whole = f"{encoder_id}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).digest()


def store_vectors(
    db: sqlite3.Connection,
    encoder: TextEncoder,
    texts: Sequence[str],
    progress: Progress | None = None,
) -> tuple[dict[bytes, int], int]:
    """Encode what has no vector yet; vector numbers by key, and how many texts were encoded.

    A text whose vector isn't finite gets none and is not in the result.
    """
    with transaction(db):
        number = encoder_number(db, encoder.id, encoder.dim)
    wanted = {text_key(encoder.id, text): text for text in texts}
    found = known_vectors(db, list(wanted))
    missing = [key for key in wanted if key not in found]
    done = len(texts) - len(missing)
    if progress is not None and done:
        progress(done, len(texts))
    for first in range(0, len(missing), ROUND_TEXTS):
        keys = missing[first : first + ROUND_TEXTS]
        begun = done + first

        def advance(part: int, _: int, begun: int = begun) -> None:
            if progress is not None:
                progress(begun + part, len(texts))

        vectors = encoder.encode_text([wanted[key] for key in keys], advance)
        with transaction(db):
            insert_vectors(db, number, keys, vectors)
        found.update(known_vectors(db, keys))
    return found, len(missing)


def insert_vectors(
    db: sqlite3.Connection, encoder: int, keys: Sequence[bytes], vectors: Vectors
) -> None:
    """[N] keys and [N, D] vectors, as fp16; those that are not finite are left out."""
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(vectors, np.float16)
    rows = [
        (key, encoder, row.tobytes(), zlib.crc32(row.tobytes()))
        for key, row in zip(keys, half, strict=True)
        if np.isfinite(row).all()
    ]
    db.executemany(
        "INSERT OR IGNORE INTO vectors (key, encoder, vector, crc) VALUES (?, ?, ?, ?)", rows
    )


def known_vectors(db: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Vector numbers of the keys that are stored."""
    found: dict[bytes, int] = {}
    for first in range(0, len(keys), LOOKED_UP):
        part = keys[first : first + LOOKED_UP]
        marks = ",".join("?" * len(part))
        asked = f"SELECT key, number FROM vectors WHERE key IN ({marks})"  # noqa: S608
        found.update(db.execute(asked, part))
    return found


def drop_unused(db: sqlite3.Connection) -> None:
    """Vectors that no row refers to go; inside a transaction."""
    db.execute("DELETE FROM vectors WHERE number NOT IN (SELECT vector FROM rows)")


def read_blocks(rows: Iterator[Sequence[tuple[bytes, int]]], dim: int) -> Iterator[Vectors]:
    """Blocks of (vector, crc) as [n, dim] float32; raises AssetError for a damaged one."""
    for block in rows:
        for vector, crc in block:
            if len(vector) != 2 * dim or zlib.crc32(vector) != crc:
                raise AssetError(
                    "expected vectors as they were stored, got a damaged one; "
                    "`foveal index check` names it"
                )
        joined = b"".join(vector for vector, _ in block)
        yield np.frombuffer(joined, np.float16).reshape(-1, dim).astype(np.float32)
