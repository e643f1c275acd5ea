"""Puts the writing of an index together: a source's entries, the embedded encoder, a folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foveal.setup.retrieval.search import index_dir, load_encoder, load_recogniser
from foveal.setup.retrieval.sources import SourceOptions, read_source
from retrieval.defence.hubs import HubGuard, hub_bank
from retrieval.defence.screening import screened
from retrieval.encoders.conse import class_vectors
from retrieval.encoders.text import MiniLmEncoder, Progress
from retrieval.sources.entries import Knowledge
from retrieval.sources.wiki import WIKI_SOURCE
from retrieval.store.canaries import keep_canaries
from retrieval.store.changes import (
    EMBEDDED_PASSAGES,
    Change,
    add_entries,
    class_keys,
    delete_entries,
    known_class_vectors,
    replace_entries,
)
from retrieval.store.index_folder import check_target, index_writer
from retrieval.store.knowledge import KnowledgeStore, load_store

EMBEDDED_NOTES = 1000  # passages of a note: what stands below the top is looked for, too


def build_index(
    sources: str | Sequence[str],
    out: Path | None,
    progress: Progress | None = None,
    options: SourceOptions | None = None,
) -> tuple[Path, KnowledgeStore, Knowledge, Change]:
    """Read, encode and write an index; returns its folder, the index, what was read and done.

    What was encoded by a build that did not end is found again, and entries that are unchanged
    since the last one are not encoded.
    """
    knowledge, digest = read_source(sources, options)
    knowledge = screened(knowledge)
    folder = out or index_dir(knowledge.source)
    check_target(folder)  # before minutes of work
    encoder, classes = _encoder(), load_recogniser().class_synonyms
    embedded = EMBEDDED_PASSAGES if knowledge.source == WIKI_SOURCE else EMBEDDED_NOTES
    keys = class_keys(classes)
    with index_writer(folder, new=True) as db:
        keep_canaries(db, encoder)
        vectors = known_class_vectors(db, encoder.id, keys)
        change = replace_entries(
            db,
            knowledge,
            encoder,
            keys,
            class_vectors(encoder, classes) if vectors is None else vectors,
            embedded,
            digest,
            progress,
        )
    store = load_store(folder, encoder.id)
    return folder, store, _noted(knowledge, store), change


def add_to_index(
    sources: str | Sequence[str],
    folder: Path,
    replace: bool = False,
    progress: Progress | None = None,
    options: SourceOptions | None = None,
) -> tuple[KnowledgeStore, Knowledge, Change]:
    """Sources' entries beside those that the index has; see `add_entries`."""
    knowledge = screened(read_source(sources, options)[0])
    encoder = _encoder()
    with index_writer(folder) as db:
        keep_canaries(db, encoder)
        change = add_entries(db, knowledge, encoder, replace, progress)
    store = load_store(folder, encoder.id)
    return store, _noted(knowledge, store), change


def delete_from_index(ids: Sequence[str], folder: Path) -> Change:
    """Entries by their ids."""
    with index_writer(folder) as db:
        return delete_entries(db, ids)


def _noted(knowledge: Knowledge, store: KnowledgeStore) -> Knowledge:
    """With the entries that pictures of anything would find."""
    if store.class_vectors is None:
        return knowledge
    guard = HubGuard.of(store.entity, len(store.entries), hub_bank(store.class_vectors))
    near = [
        f"{store.entries[row].id}: nearest to {guard.shares[row]:.0%} of all pictures; {what}"
        for rows, what in (
            (guard.refused, "no picture will find it"),
            (guard.reported, "pictures find it still"),
        )
        for row in rows
    ]
    return replace(knowledge, noted=(*knowledge.noted, *near))


def _encoder() -> MiniLmEncoder:
    from foveal.setup.processors import onnx_providers
    from perception.device import resolve_device

    return load_encoder(providers=onnx_providers(resolve_device()))
