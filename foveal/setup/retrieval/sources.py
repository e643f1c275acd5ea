"""What an index is built of: wiki-vital, folders and files, by name."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from foveal.assets.registry import asset_path
from retrieval.cragmm.index import FILE as CHROMA
from retrieval.cragmm.index import read_cragmm
from retrieval.sources.entries import Entry, Knowledge, RefusedRow
from retrieval.sources.files import FORMATS, read_file
from retrieval.sources.folder import read_folder
from retrieval.sources.records import entries
from retrieval.sources.wiki import WIKI_SOURCE, read_wiki
from stream.errors import SourceError
from stream.events import Tier

SUMMARIES = "summaries_en-us.json"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How sources are read, where they do not say it themselves."""

    tier: Tier | None = None  # folders are the wearer's own, all else is vetted
    encoding: str = ""  # of text that is neither UTF-8 nor marked


def stream_source(
    source: str, options: SourceOptions | None = None, name: str = ""
) -> Iterator[Entry | RefusedRow]:
    """What a source yields, entry by entry; no document need fit in memory.

    `name` takes the place of the source's own name in ids. Raises SourceError, at the first entry
    or before it, for a source that cannot be read at all.
    """
    options = options or SourceOptions()
    if source == WIKI_SOURCE:
        return read_wiki(asset_path(WIKI_SOURCE, SUMMARIES))
    path = Path(source)
    if (path / CHROMA).is_file():
        return entries(name or path.resolve().name, read_cragmm(path), options.tier or "vetted")
    if path.is_dir():
        return read_folder(path, options.encoding, options.tier or "own", name)
    if path.is_file() and path.suffix.lower() in FORMATS:
        records = read_file(path, encoding=options.encoding)
        return entries(name or path.stem, records, options.tier or "vetted")
    raise SourceError(
        f"expected {WIKI_SOURCE}, a folder, or a file that ends in {', '.join(sorted(FORMATS))}; "
        f"got {source}"
    )


def read_source(
    sources: str | Sequence[str], options: SourceOptions | None = None
) -> tuple[Knowledge, str]:
    """All entries of one or more sources, and a sha256 of what they say; raises SourceError.

    What is refused is told with the source before it, where there are several.
    """
    sources = [sources] if isinstance(sources, str) else list(sources)
    names = _names(sources)
    streams = (stream_source(s, options, n) for s, n in zip(sources, names, strict=True))
    knowledge = Knowledge.collect("+".join(names), chain.from_iterable(streams))
    digest = hashlib.sha256()
    for entry in knowledge.entries:
        digest.update(json.dumps(entry.as_json()).encode())
    return knowledge, digest.hexdigest()


def _names(sources: Sequence[str]) -> list[str]:
    """How ids begin: a folder's or file's own name, with its parent's where two are the same."""
    paths = [Path(source).resolve() for source in sources]
    own = [path.name if path.is_dir() else path.stem for path in paths]
    count = Counter(own)
    return [
        f"{path.parent.name}/{name}" if count[name] > 1 else name or "folder"
        for path, name in zip(paths, own, strict=True)
    ]
