"""A model's files into the hub's cache, each of which goes on where it broke off.

huggingface_hub fetches a file that broke off anew: since 2.0 each download has a temporary file of
its own (its pull request 4228). So what is missing is fetched here, by its own HTTP client, into
the cache's `blobs`; the library finds it there and links it. What is fetched is named after its
ETag, so that a file that has changed begins anew; the hub's ETag is a digest, which is checked.
That client hands on 10 MB at a time: what had come of the last of them is fetched again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream.errors import AssetError

SUFFIX = ".foveal-part"
CHUNK_BYTES = 1 << 20
SHA256_CHARS, SHA1_CHARS = 64, 40


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model at a commit, as the hub tells of it."""

    model: str  # owner/name
    commit: str
    name: str
    etag: str  # SHA-256, or git's SHA-1 of a small file
    size: int

    def check(self, path: Path) -> None:
        """Raises AssetError where a file is another one; an ETag that is no digest is not read."""
        size = path.stat().st_size
        kinds = {SHA256_CHARS: hashlib.sha256(), SHA1_CHARS: _git_hash(size)}
        found = kinds.get(len(self.etag))
        if found is not None:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    found.update(chunk)
        if size != self.size or (found is not None and found.hexdigest() != self.etag):
            raise AssetError(
                f"expected {self.name} of {self.model} with {self.size} bytes and the digest "
                f"{self.etag}, got {size} bytes and another: what came was removed; pull again"
            )


def fetch_missing(model: str, commit: str, names: Sequence[str], cache: Path) -> None:
    """Fetch what the cache lacks of a model's files, each from where it broke off.

    `commit`: of the hub, 40 hex digits. What is left to the library: files of more than 50 GB, and
    caches on disks without links. Raises AssetError for a file whose digest is wrong, and what the
    hub's client raises.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import are_symlinks_supported, repo_folder_name

    if not are_symlinks_supported(cache):
        return
    folder = repo_folder_name(repo_id=model, repo_type="model")
    blobs, locks = cache / folder / "blobs", cache / ".locks" / folder
    kept: set[str] = set()
    for name in sorted(names):
        file = _ask(model, commit, name)
        if file is None or file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
            continue
        kept.add(file.etag)
        with _locked(locks / f"{file.etag}.lock"):
            _fetch(file, blobs)
    for part in blobs.glob(f"*{SUFFIX}"):  # of files that have changed since
        if part.name.removesuffix(SUFFIX) not in kept:
            part.unlink(missing_ok=True)


def _ask(model: str, commit: str, name: str) -> HubFile | None:
    """What the hub says of a file; None where it does not say enough to go on later."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    told = get_hf_file_metadata(hf_hub_url(model, name, revision=commit))
    if told.etag is None or told.size is None or not told.etag.isalnum():
        return None
    return HubFile(model, commit, name, told.etag, told.size)


def _fetch(file: HubFile, blobs: Path) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    blob, part = blobs / file.etag, blobs / f"{file.etag}{SUFFIX}"
    if blob.exists():
        return
    blobs.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as target:
        begun = target.tell()
        if begun > file.size:
            target.truncate(begun := 0)
        http_get(
            hf_hub_url(file.model, file.name, revision=file.commit),
            target,
            resume_size=begun,
            headers={**build_hf_headers(), "Accept-Encoding": "identity"},
            expected_size=file.size,
            displayed_filename=file.name,
        )
    try:
        file.check(part)
    except AssetError:
        part.unlink()
        raise
    part.replace(blob)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The library's own lock of a blob: two that pull at once do not write into one file."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(path):
        yield


def _git_hash(size: int) -> "hashlib._Hash":
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
