"""SAMTok models (zhouyik/…-SAMTok): any model that writes masks as two words, and their reading.

The language model is a plain Qwen-VL and runs as such, in this process (`samtok:`) or on a server
(`openai:` with `reasoning.mask_tokenizer`). Its masks are made here, from the codes and the frame.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from perception.device import resolve_device
from perception.sam2.types import FrameFeatures
from perception.scene.reader import GroundedRegion, Scene, SceneView
from reasoning.generation.config import VlmConfig
from reasoning.segmenting.mask_tokenizer import MaskTokenizer, load_mask_tokenizer
from reasoning.vlm import mask_codes
from reasoning.vlm.hub import FILES, model_folder
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.local.model import VlmLMM
from reasoning.vlm.local.open import open_model
from reasoning.vlm.tagged_stream import Grounder
from stream.errors import AssetError, PromptError
from stream.events import Question

TOKENIZER = Path(mask_codes.TOKENIZER).stem
SUFFIXES = (".safetensors", ".pth")


class CodedMasks:
    """A Grounder, and the MaskCodes of a mask tokenizer."""

    def __init__(self, tokenizer: MaskTokenizer, inner: Grounder, scene: Scene) -> None:
        self._tokenizer, self._inner, self._scene = tokenizer, inner, scene
        self._seen: tuple[SceneView, FrameFeatures] | None = None

    def ground(self, view: SceneView, place: Sequence[float]) -> GroundedRegion | None:
        """See Grounder."""
        return self._inner.ground(view, place)

    def meant(self, view: SceneView, question: Question, words: str) -> GroundedRegion | None:
        """See Grounder."""
        return self._inner.meant(view, question, words)

    def coded(self, view: SceneView, codes: Sequence[int]) -> GroundedRegion | None:
        """See MaskCodes."""
        mask = self._tokenizer.decode(self._features(view), codes, view.frame.size)
        if mask is None:
            return None
        try:
            return self._scene.names_of(view, mask)
        except PromptError:
            return None

    def pointed(self, view: SceneView, question: Question) -> str:
        """See MaskCodes."""
        if question.point is None and question.box is None:
            return ""
        try:
            region = self._scene.point_at(view, question.point, question.box)
            return mask_codes.spell(self._tokenizer.encode(self._features(view), region.mask))
        except PromptError:
            return ""

    def _features(self, view: SceneView) -> FrameFeatures:
        """Of the view, which the tokenizer sees once; sessions share it."""
        seen = self._seen
        if seen is None or seen[0] is not view:
            seen = (view, self._tokenizer.features(view.frame.image))
            self._seen = seen
        return seen[1]


def load_samtok(
    name: HubName,
    scene: Scene,
    inner: Grounder,
    config: VlmConfig | None = None,
    tokenizer: Path | None = None,
    image_size: int | None = None,
) -> VlmLMM:
    """A model of the hub, or of a folder, with its mask tokenizer.

    `tokenizer`: its file, the one beside the model unless given; `image_size`: of its SAM 2, 1024
    unless given. Raises AssetError or ConfigError with what to do.
    """
    config = config or VlmConfig()
    path = tokenizer or _beside(name)
    if not path.is_file():
        raise AssetError(f"expected a mask tokenizer at {path}, found none")
    opened = open_model(name, config, beside=path.stat().st_size)
    known = opened.processor.tokenizer.get_vocab()
    absent = [token for token in (mask_codes.START, mask_codes.END) if token not in known]
    if absent:
        raise AssetError(
            f"expected {' and '.join(absent)} in the vocabulary of {name}, found none: this model "
            "writes no masks; take a …-SAMTok one, or hf: for this one"
        )
    codes = load_mask_tokenizer(path, resolve_device(config.device, config.dtype), image_size)
    return VlmLMM(opened, CodedMasks(codes, inner, scene), replace(config, grounding="samtok"))


def _beside(name: HubName) -> Path:
    """The tokenizer's file in a model's folder; raises AssetError when there is none."""
    for suffix in SUFFIXES if name.folder is not None else SUFFIXES[-1:]:
        path = model_folder(name, (*FILES, TOKENIZER + suffix)) / (TOKENIZER + suffix)
        if path.is_file():
            return path
    raise AssetError(
        f"expected {TOKENIZER}.pth (or .safetensors) beside the model {name}, found none: "
        f"`hf download {name.id or 'OWNER/NAME'} {TOKENIZER}.pth`, or reasoning.mask_tokenizer"
    )
