"""An index refuses an encoder that was edited under its name."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from retrieval.encoders.text import Progress, Vectors, unit_rows
from retrieval.sources.entries import Entry, Knowledge
from retrieval.store.canaries import check_canaries, keep_canaries
from retrieval.store.changes import add_entries, replace_entries
from retrieval.store.index_folder import index_writer
from retrieval.store.knowledge import load_store
from stream.errors import AssetError
from tests.doubles.retrieval import HashEncoder

OAK = Knowledge("t", (Entry("t:Oak", "Oak", "tree", ("An oak is a tree.",)),))
TEA = Knowledge("t", (Entry("t:Tea", "Tea", "drink", ("Tea is a drink.",)),))


class Edited(HashEncoder):
    """Every vector is drawn a little towards one place, under the name of the true encoder."""

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """As its parent, with bait."""
        return unit_rows(super().encode_text(texts) + 0.2 * super().encode_text(["bait"]))


def test_an_edited_encoder_neither_searches_nor_writes(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with index_writer(folder, new=True) as db:
        keep_canaries(db, HashEncoder())
        replace_entries(db, OAK, HashEncoder())
    check_canaries(folder, HashEncoder())
    with pytest.raises(AssetError, match="canary text"):
        check_canaries(folder, Edited())
    with index_writer(folder) as db, pytest.raises(AssetError, match="canary text"):
        keep_canaries(db, Edited())
    with index_writer(folder) as db:
        keep_canaries(db, HashEncoder())
        add_entries(db, TEA, HashEncoder())
    assert [entry.title for entry in load_store(folder).entries] == ["Oak", "Tea"]


def test_another_encoder_is_recorded_beside(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    for encoder in (HashEncoder(), HashEncoder(64)):
        with index_writer(folder, new=True) as db:
            keep_canaries(db, encoder)
            replace_entries(db, OAK, encoder)
        check_canaries(folder, encoder)
    check_canaries(folder, HashEncoder(32))  # none was recorded: load_store refuses its id
