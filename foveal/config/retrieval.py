"""Settings of who encodes pictures, regions and words for search; checked without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from foveal.config.models import EMBEDDED
from foveal.config.reading import FilePath
from reasoning.vlm.hub_name import HubName
from retrieval.encoders.region_modes import RegionMode
from stream import extensions
from stream.bounds import within
from stream.errors import ConfigError

FORMS = ("embedded", "hf:MODEL", "open_clip:MODEL/WEIGHTS", "alpha:MODEL/WEIGHTS#FILE")
WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")  # endings of a file of weights


@dataclass(frozen=True, slots=True)
class OpenClipName:
    """A model of open_clip with its weights, and a file of Alpha-CLIP's upon it."""

    architecture: str
    weights: str  # a file, or the tag of published ones
    alpha: Path | None = None

    @classmethod
    def parse(cls, text: str) -> "OpenClipName":
        """`MODEL/WEIGHTS` or `MODEL/WEIGHTS#FILE`; raises ConfigError for anything else."""
        named, mark, alpha = text.partition("#")
        architecture, _, weights = named.partition("/")
        if not architecture or not weights or (mark and not alpha):
            raise ConfigError(
                "expected a model of open_clip as MODEL/WEIGHTS (a file or a published tag, such "
                f"as ViT-B-32/laion2b_s34b_b79k), of Alpha-CLIP with #FILE behind it, got {text!r}"
            )
        return cls(architecture, weights, Path(alpha).expanduser() if mark else None)

    @property
    def file(self) -> Path | None:
        """The weights as a file of this machine; None where they are a published tag."""
        path = Path(self.weights).expanduser()
        return path if path.suffix in WEIGHTS or path.is_file() else None


def check_encoder(name: str) -> None:
    """Raises ConfigError for a name that no encoder of pictures and words has."""
    scheme, _, rest = name.partition(":")
    if name == EMBEDDED or extensions.named("encoders", name):
        return
    if scheme == "hf" and rest:
        HubName.parse(rest)
    elif scheme in ("open_clip", "alpha") and rest:
        if (OpenClipName.parse(rest).alpha is None) == (scheme == "alpha"):
            raise ConfigError(f"expected #FILE in alpha: and in no other encoder, got {name!r}")
    else:
        known = ", ".join((*FORMS, *sorted(extensions.known("encoders"))))
        raise ConfigError(f"expected an encoder of {known}; got {name!r}")


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """Who encodes pictures and regions that are searched for; raises ConfigError.

    `regions` and the cache concern other encoders than the embedded one.
    """

    encoder: str = EMBEDDED  # ConSE; or one of FORMS, or NAME:REST of an extension
    regions: RegionMode = "both"
    # Vectors by content: null is encodings.sqlite in the cache folder.
    cache: FilePath | None = None
    cache_mb: Annotated[int, within(0, 1_000_000)] = 256  # 0: none is kept

    def __post_init__(self) -> None:
        check_encoder(self.encoder)
        alone = self.encoder.startswith("alpha:")
        if self.regions == "alpha" and not alone:
            raise ConfigError(
                f"expected retrieval.regions other than alpha for {self.encoder}: only an "
                "alpha:… encoder reads masks"
            )
