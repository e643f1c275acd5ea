"""A chromadb folder by hand: the tables of chromadb 1.x that CRAG-MM's indexes are made of."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT NOT NULL, dimension INTEGER,
    database_id TEXT NOT NULL, config_json_str TEXT, schema_str TEXT);
CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT NOT NULL, scope TEXT NOT NULL,
    collection TEXT NOT NULL);
CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT NOT NULL,
    embedding_id TEXT NOT NULL, seq_id BLOB NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE embedding_metadata (id INTEGER, key TEXT NOT NULL, string_value TEXT,
    int_value INTEGER, float_value REAL, bool_value INTEGER, PRIMARY KEY (id, key));
"""


def write(folder: Path, collection: str, rows: Sequence[Mapping[str, object]]) -> Path:
    """A folder of one collection whose rows have this metadata."""
    folder.mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / "chroma.sqlite3")) as store, store:
        store.executescript(SCHEMA)
        store.execute("INSERT INTO collections VALUES ('c', ?, 2, 'd', '{}', '')", (collection,))
        for scope in ("VECTOR", "METADATA"):
            store.execute("INSERT INTO segments VALUES (?, ?, ?, 'c')", (scope, scope, scope))
        for number, row in enumerate(rows, start=1):
            store.execute(
                "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) "
                "VALUES (?, 'METADATA', ?, ?)",
                (number, str(number - 1), number),
            )
            store.executemany(
                "INSERT INTO embedding_metadata (id, key, string_value) VALUES (?, ?, ?)",
                [(number, key, value) for key, value in row.items()],
            )
    return folder
