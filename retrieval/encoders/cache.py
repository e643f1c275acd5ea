"""Vectors by the content that they are of, in one SQLite file: what was encoded once is read.

The least lately used go when the file's vectors pass their size. A cache that cannot be read or
written costs time, never an answer.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock

import numpy as np

from retrieval.encoders.joint import JointEncoder, check_images, check_regions
from retrieval.encoders.text import Progress, Vectors
from stream.errors import AssetError
from stream.frame import Image, Mask

APPLICATION = 0x46564543  # "FVEC": marks the file as ours
VERSION = 1
KEPT = 0.9  # of the size that stays when it was passed
BUSY_S = 5.0  # that another process may hold the file
AT_ONCE = 500  # keys of one question to SQLite


class EncodingCache:
    """Vectors of one file; threads may share it, and processes may share the file."""

    def __init__(self, path: Path, max_bytes: int = 256_000_000) -> None:
        """`max_bytes` of vectors; raises AssetError for a file that is no such cache."""
        self.failures = 0  # reads and writes that could not be made
        self._max, self._lock = max_bytes, Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, BUSY_S, check_same_thread=False)
            self._prepare(path)
        except (OSError, sqlite3.Error) as error:
            raise AssetError(
                f"expected a cache of vectors that can be written in {path}: {error}; delete it, "
                "or set another place"
            ) from error

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The known ones of some keys, [D] float32 each; they count as used now."""
        with self._lock:
            try:
                with self._db:
                    return self._read(keys)
            except sqlite3.Error:
                self.failures += 1
                return {}

    def put(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Keep [D] float32 vectors by their keys; the least lately used make room."""
        with self._lock:
            try:
                with self._db:
                    used = self._tick()
                    rows = [(k, v.astype("<f4").tobytes(), used) for k, v in vectors.items()]
                    self._db.executemany("INSERT OR REPLACE INTO encodings VALUES (?, ?, ?)", rows)
                    self._bytes += sum(len(row[1]) for row in rows)
                    if self._bytes > self._max:
                        self._evict()
            except sqlite3.Error:
                self.failures += 1

    @property
    def size(self) -> int:
        """Bytes of all vectors."""
        with self._lock:
            return self._size()

    def close(self) -> None:
        """Close the file; nothing may be asked of the cache after it."""
        with self._lock:
            self._db.close()

    def _prepare(self, path: Path) -> None:
        with closing(self._db.cursor()) as cursor:
            (mark,) = cursor.execute("PRAGMA application_id").fetchone()
            (version,) = cursor.execute("PRAGMA user_version").fetchone()
            (tables,) = cursor.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            if (mark, version) != (APPLICATION, VERSION) and (tables or mark):
                raise AssetError(
                    f"expected a cache of vectors in {path}, got another SQLite file (application "
                    f"{mark:#x}, version {version}); it is left as it is: set another place"
                )
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS encodings "
                "(key BLOB PRIMARY KEY, vector BLOB NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID"
            )
            cursor.execute("CREATE INDEX IF NOT EXISTS by_use ON encodings (used)")
            cursor.execute(f"PRAGMA application_id = {APPLICATION}")
            cursor.execute(f"PRAGMA user_version = {VERSION}")
            self._db.commit()
        self._bytes = self._size()  # at most: what is written twice counts twice until it is full

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        used = self._tick()
        for start in range(0, len(keys), AT_ONCE):
            some = list(keys[start : start + AT_ONCE])
            places = ",".join("?" * len(some))
            rows = self._db.execute(
                f"SELECT key, vector FROM encodings WHERE key IN ({places})",  # noqa: S608 - marks
                some,
            )
            found |= {key: np.frombuffer(raw, "<f4").astype(np.float32) for key, raw in rows}
        marks = [(used, key) for key in found]
        self._db.executemany("UPDATE encodings SET used = ? WHERE key = ?", marks)
        return found

    def _tick(self) -> int:
        (last,) = self._db.execute("SELECT MAX(used) FROM encodings").fetchone()
        return int(last or 0) + 1

    def _size(self) -> int:
        total = self._db.execute("SELECT TOTAL(LENGTH(vector)) FROM encodings").fetchone()
        return int(total[0])

    def _evict(self) -> None:
        self._bytes = self._size()
        over = self._bytes - self._max
        if over <= 0:
            return
        over += int((1 - KEPT) * self._max)
        gone = []
        for key, size in self._db.execute(
            "SELECT key, LENGTH(vector) FROM encodings ORDER BY used"
        ):
            gone.append((key,))
            over -= size
            self._bytes -= size
            if over <= 0:
                break
        self._db.executemany("DELETE FROM encodings WHERE key = ?", gone)


class CachedEncoder:
    """`JointEncoder` that asks another one only for what is not in a cache yet."""

    def __init__(self, encoder: JointEncoder, cache: EncodingCache) -> None:
        self._encoder, self._cache = encoder, cache
        self.id, self.dim = encoder.id, encoder.dim

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, D] float32 of unit norm; progress counts what is encoded anew."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            return self._encoder.encode_text(texts, progress)  # which refuses it
        keys = [self._key(b"text", text.encode("utf-8", "surrogatepass")) for text in texts]
        return self._filled(
            keys, lambda rows: self._encoder.encode_text([texts[n] for n in rows], progress)
        )

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for what is no [H, W, 3] picture."""
        check_images(images)
        keys = [self._key(b"image", *_content(image)) for image in images]
        return self._filled(
            keys, lambda rows: self._encoder.encode_images([images[n] for n in rows])
        )

    def encode_regions(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for a mask that does not fit."""
        check_regions(images, masks)
        keys = [
            self._key(b"region", *_content(image), np.packbits(mask).tobytes())
            for image, mask in zip(images, masks, strict=True)
        ]
        return self._filled(
            keys,
            lambda rows: self._encoder.encode_regions(
                [images[n] for n in rows], [masks[n] for n in rows]
            ),
        )

    def _key(self, kind: bytes, *content: bytes) -> bytes:
        digest = hashlib.sha256(b"%s\0%s\0" % (kind, self.id.encode()))
        for part in content:
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.digest()

    def _filled(self, keys: Sequence[bytes], encode: Callable[[Sequence[int]], Vectors]) -> Vectors:
        known = self._cache.get(list(dict.fromkeys(keys)))
        known = {key: vector for key, vector in known.items() if vector.shape == (self.dim,)}
        missing = list({key: n for n, key in enumerate(keys) if key not in known}.values())
        if missing:
            made = dict(zip((keys[n] for n in missing), encode(missing), strict=True))
            self._cache.put(made)
            known |= made
        rows = [known[key] for key in keys]
        return np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)


def _content(image: Image) -> tuple[bytes, bytes]:
    return repr(image.shape).encode(), np.ascontiguousarray(image).tobytes()
