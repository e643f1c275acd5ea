"""Published models that a configuration names: which, at which commit, whether they are here.

They lie in the hub's own cache (HF_HOME, HF_HUB_CACHE), where every library looks.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from foveal.assets.hub_files import fetch_missing
from foveal.config.models import KINDS
from foveal.config.schema import Config
from reasoning.vlm.hub import cached, hub_errors
from reasoning.vlm.hub_name import HubName
from reasoning.vlm.mask_codes import TOKENIZER
from stream.errors import AssetError

NETWORK = ("*.safetensors", "*.json")
LANGUAGE = (*NETWORK, "*.txt", "*.model", "*.jinja")
WHISPER = ("model.bin", "*.json", "*.txt")
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the hub, and what is fetched of it."""

    id: str  # owner/name
    revision: str  # a commit; a branch where it is not pinned
    what: str
    licence: str
    megabytes: int  # about; 0 where nobody has said
    files: tuple[str, ...]  # patterns
    unpinned: bool = False

    @property
    def name(self) -> HubName:
        """As it is asked for."""
        return HubName(self.id, self.revision)


def _read(path: Path) -> tuple[HubModel, ...]:
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(HubModel(**{**row, "files": tuple(row["files"])}) for row in rows)


REGISTRY = {model.id: model for model in _read(Path(__file__).with_name("hub.yaml"))}


def hub_model(name: HubName, what: str, files: tuple[str, ...]) -> HubModel:
    """The registry's entry of a model, at another commit where one is asked for; else a new one."""
    known = REGISTRY.get(name.id)
    if known is None:
        revision = name.revision or "main"
        return HubModel(name.id, revision, what, "see its page", 0, files, name.revision is None)
    return known if name.revision is None else replace(known, revision=name.revision)


def needed(config: Config) -> tuple[HubModel, ...]:
    """What a configuration needs of the hub; folders and files of this machine are not."""
    kind, _, tracker = config.masklets.tracker.partition(":")
    segmenter = config.phrases.segmenter.partition(":")[2]
    scheme, _, answering = config.reasoning.model.partition(":")
    hearing = config.hearing.model.partition(":")[2]
    reads, _, encoder = config.retrieval.encoder.partition(":")
    codes = () if config.reasoning.mask_tokenizer else (TOKENIZER,)
    files = {"hf": LANGUAGE, "sa2va": LANGUAGE, "samtok": (*LANGUAGE, *codes)}
    asked = (
        (tracker if kind in KINDS and not tracker.endswith(".pt") else "", "tracker", NETWORK),
        (segmenter, "phrase segmenter", LANGUAGE),
        (answering if scheme in files else "", "vision-language model", files.get(scheme, ())),
        (hearing, "speech recognition", WHISPER),
        (encoder if reads == "hf" else "", "encoder of pictures and words", LANGUAGE),
    )
    names = [(HubName.parse(text), what, files) for text, what, files in asked if text]
    return tuple(hub_model(*one) for one in names if one[0].folder is None)


def snapshot(model: HubModel) -> Path | None:
    """The folder of a model that was pulled whole; None where some of it is missing."""
    return cached(model.name, model.files)


def pinned(text: str, files: tuple[str, ...] = NETWORK) -> str:
    """The name of a model -> its folder, if the pinned commit was pulled; else the name itself."""
    name = HubName.parse(text)
    if name.folder is not None:
        return text
    folder = snapshot(hub_model(name, "model", files))
    return text if folder is None else str(folder)


def at_commit(name: HubName) -> HubName:
    """A registered model at its commit, unless only another one was pulled."""
    if name.folder is not None or name.revision is not None or name.id not in REGISTRY:
        return name
    model = REGISTRY[name.id]
    other = snapshot(replace(model, revision="main"))
    return name if snapshot(model) is None and other is not None else model.name


def pull(model: HubModel) -> Path:
    """Fetch the files that are missing, each from where it broke off; returns the folder.

    Raises AssetError with what to do where the hub, the model or the space is lacking.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import DryRunError

    patterns = list(model.files)
    with hub_errors(model.name):
        try:
            plan = snapshot_download(
                model.id, revision=model.revision, allow_patterns=patterns, dry_run=True
            )
        except DryRunError as error:  # what the hub said lies behind it
            raise error.__cause__ or error from None
        cache, missing = Path(constants.HF_HUB_CACHE), [one for one in plan if one.will_download]
        _check_space(model, sum(file.file_size or 0 for file in missing), cache)
        if missing:
            commit = missing[0].commit_hash
            fetch_missing(model.id, commit, [file.filename for file in missing], cache)
        found = snapshot_download(model.id, revision=model.revision, allow_patterns=patterns)
    folder = snapshot(model)
    if folder is None:
        raise AssetError(f"expected weights ({', '.join(patterns)}) of {model.name}, got {found}")
    return folder


def pull_all(models: Sequence[HubModel], tell: Callable[[str], None]) -> None:
    """Fetch each in turn, told in lines; raises AssetError that also names what is still missing.

    The hub's own bars show how far each file is.
    """
    for number, model in enumerate(models):
        if model.unpinned:
            tell(_unpinned(model))
        tell(f"{model.id}: {model.what}{_size(model)}, {model.licence}")
        try:
            pull(model)
        except AssetError as error:
            later = [each.id for each in models[number + 1 :] if snapshot(each) is None]
            rest = f". Also missing: {', '.join(later)}" if later else ""
            raise AssetError(f"{error}{rest}") from error


def tell_missing(config: Config) -> str | None:
    """A line that names what is not here, how much it is and the command; None for nothing."""
    missing = [model for model in needed(config) if snapshot(model) is None]
    if not missing:
        return None
    listed = ", ".join(f"{model.id} ({model.what}{_size(model)})" for model in missing)
    return (
        f"models that the settings name and this machine lacks: {listed}. Where the hub can be "
        "reached they are fetched now; `foveal models pull --config PROFILE|FILE` brings them "
        "before"
    )


def tell_unpinned(config: Config) -> str | None:
    """A line that names the models that may change from one day to the next; None for none."""
    loose = [_unpinned(model) for model in needed(config) if model.unpinned]
    return ". ".join(loose) or None


def _unpinned(model: HubModel) -> str:
    return (
        f"{model.id} is NOT pinned: its branch {model.revision} is taken as it is today; "
        f"{model.id}@COMMIT in the settings gets the same another time"
    )


def _size(model: HubModel) -> str:
    return f", {model.megabytes} MB" if model.megabytes else ""


def _check_space(model: HubModel, missing: int, cache: Path) -> None:
    """Raises AssetError where the cache's disk has no room for so many bytes."""
    place = next(one for one in (cache, *cache.parents) if one.exists())
    free = shutil.disk_usage(place).free
    if missing > free:
        raise AssetError(
            f"expected {missing // MB} MB of free space in {cache} for {model.id}, found "
            f"{free // MB} MB; free some, or set HF_HOME to a folder on a larger disk"
        )
