"""ConSE: pictures into the text space through the names of classes, without training.

Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014, eq. 2:
f(x) = (1 / Z) * sum over the T most probable classes of p(class | x) * s(class name).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.encoders.joint import check_images, check_regions
from retrieval.encoders.text import Progress, TextEncoder, Vectors, unit_rows
from stream.errors import QueryError
from stream.frame import Image, Mask

Posteriors = npt.NDArray[np.float32]  # [N, C], each row sums to 1


class ImageClassifier(Protocol):
    """Names what is in a picture, or under a mask of it."""

    @property
    def class_names(self) -> Sequence[str]:
        """One name per class, C in all."""

    def classify(self, images: Sequence[Image], masks: Sequence[Mask | None]) -> Posteriors:
        """[N, C] posteriors; a mask limits its picture to the region, background blanked."""


def class_vectors(encoder: TextEncoder, classes: Sequence[Sequence[str]]) -> Vectors:
    """[C, D] unit vectors: each class is the mean of its names' vectors."""
    flat = [name for names in classes for name in names]
    starts = np.cumsum([0, *(len(names) for names in classes)])[:-1]
    return unit_rows(np.add.reduceat(encoder.encode_text(flat), starts, axis=0))


class ConseProjector:
    """Mixes the class vectors by the `top` largest posteriors."""

    def __init__(self, class_embeddings: Vectors, top: int = 10) -> None:
        """`class_embeddings` is [C, D]; raises QueryError when it is not a finite matrix."""
        if class_embeddings.ndim != 2 or not np.isfinite(class_embeddings).all():
            raise QueryError(
                f"expected finite class embeddings [C, D], got shape {class_embeddings.shape}"
            )
        self._embeddings = unit_rows(class_embeddings)
        self._top = max(1, min(top, len(class_embeddings)))

    def project(self, posteriors: Posteriors) -> Vectors:
        """[N, C] posteriors -> [N, D] float32 of unit norm."""
        classes = len(self._embeddings)
        if posteriors.ndim != 2 or posteriors.shape[1] != classes:
            raise QueryError(f"expected posteriors [N, {classes}], got shape {posteriors.shape}")
        if not np.isfinite(posteriors).all():
            raise QueryError("expected finite posteriors, got NaN or infinity")
        kept = np.argpartition(-posteriors, self._top - 1, axis=1)[:, : self._top]
        weights = np.take_along_axis(posteriors, kept, axis=1)
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
        mixed = np.einsum("nt,ntd->nd", weights, self._embeddings[kept])
        return unit_rows(mixed.astype(np.float32))


class ConseEncoder:
    """`JointEncoder` of a text encoder and an image classifier: the embedded one.

    A region is looked at by the classifier as it looks at any mask; a vector of no class at all,
    which a classifier of background may give, is zero.
    """

    def __init__(
        self,
        text: TextEncoder,
        classifier: ImageClassifier,
        synonyms: Sequence[Sequence[str]] = (),
        classifier_id: str = "",
    ) -> None:
        """`synonyms` are the classes' names, the best known first; `classifier_id` its weights'."""
        names = synonyms or [(name,) for name in classifier.class_names]
        self._text, self._classifier = text, classifier
        self._projector = ConseProjector(class_vectors(text, names))
        self.id = "+".join(("conse", text.id, *((classifier_id,) if classifier_id else ())))
        self.dim = text.dim

    def encode_text(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, D] float32 of unit norm, the text encoder's own."""
        return self._text.encode_text(texts, progress)

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for what is no [H, W, 3] picture."""
        check_images(images)
        return self._projector.project(self._classifier.classify(images, [None] * len(images)))

    def encode_regions(self, images: Sequence[Image], masks: Sequence[Mask]) -> Vectors:
        """[N, D] float32 of unit norm; raises QueryError for a mask that does not fit."""
        check_regions(images, masks)
        return self._projector.project(self._classifier.classify(images, list(masks)))
