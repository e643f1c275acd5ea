"""Image and region queries by any encoder of pictures and words, in place of ConSE.

An entry is what its name and description say, written as the captions that such encoders were
trained on. Topic shifts and name agreement are left out: they were set on ConSE's cosines.
"""

from collections.abc import Sequence

import numpy as np

from retrieval.defence.tiers import trusted_first
from retrieval.encoders.conse import ImageClassifier
from retrieval.encoders.joint import JointEncoder
from retrieval.encoders.text import Progress, TextEncoder
from retrieval.search import KnowledgeSearcher
from retrieval.store.knowledge import KnowledgeStore
from stream.events import Evidence, Query
from stream.geometry import decode_mask, mask_box

CAPTION = "a photo of {}"


class JointSearcher(KnowledgeSearcher):
    """A `KnowledgeSearcher` whose pictures and regions another encoder reads."""

    def __init__(
        self,
        store: KnowledgeStore,
        encoder: TextEncoder,
        joint: JointEncoder,
        classifier: ImageClassifier | None = None,
        synonyms: Sequence[Sequence[str]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Encodes all entries with `joint`, reporting (entries done, entries in all)."""
        super().__init__(store, encoder, classifier, synonyms)
        self._joint = joint
        captions = [CAPTION.format(entry.entity_text) for entry in store.entries]
        self._entities = joint.encode_text(captions, progress)  # [E, D]

    def search(self, query: Query) -> list[Evidence]:
        """Evidence best first; scores of pictures are cosines in the encoder's space."""
        if query.kind == "text" or query.image is None:
            return super().search(query)
        if query.kind == "image" or query.mask is None:
            vector, box = self._joint.encode_images([query.image])[0], None
        else:
            mask = decode_mask(query.mask)
            vector, box = self._joint.encode_regions([query.image], [mask])[0], mask_box(mask)
        scores = trusted_first(np.asarray(self._entities @ vector, np.float32), self._unvetted)
        return self.shown(np.arange(len(scores)), scores, query.k, box, query.about)
