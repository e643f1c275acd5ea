"""From the name of a published model to a folder on this machine: tensors and settings alone.

The hub's own cache is looked at first; only what is missing there is asked of the hub, and with
HF_HUB_OFFLINE=1 nothing is. Code that lies beside the weights is never fetched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reasoning.vlm.hub_name import HubName
from stream.errors import AssetError, FovealError
from stream.hub_refusals import refusal

FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


def model_folder(name: HubName, files: Sequence[str] = FILES) -> Path:
    """The folder of a model, fetched where it is not complete.

    `files`: patterns of what is fetched. Raises AssetError with what to do when there is no such
    model, it is gated, the hub is out of reach, or the folder does not exist.
    """
    if name.folder is not None:
        if not name.folder.is_dir():
            raise AssetError(f"expected the folder of a model, found none at {name.folder}")
        return name.folder
    return cached(name, files) or _fetched(name, files)


def cached(name: HubName, files: Sequence[str]) -> Path | None:
    """A complete snapshot of the cache; None where a part of it is missing."""
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            name.id, revision=name.revision, allow_patterns=list(files), local_files_only=True
        )
    except (OSError, ValueError):
        return None
    folder = Path(found)
    named = [file for file in files if "*" not in file]
    whole = complete(folder) and all((folder / file).is_file() for file in named)
    return folder if whole else None


def _fetched(name: HubName, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    with hub_errors(name):
        found = snapshot_download(name.id, revision=name.revision, allow_patterns=list(files))
    return Path(found)


@contextmanager
def hub_errors(name: HubName) -> Iterator[None]:
    """What the hub or the disk refuses inside, as AssetError with what to do."""
    try:
        yield
    except FovealError:
        raise
    except Exception as error:  # of several HTTP clients, which share no root
        raise refusal(str(name), error) or _unreached(name, error) from error


def _unreached(name: HubName, error: Exception) -> AssetError:
    reason = " ".join(str(error).split())[:200]
    return AssetError(
        f"the model {name} is not complete on this machine, and the hub is out of reach "
        f"({reason}). Where it can be reached: `hf download {name.id}"
        f"{f' --revision {name.revision}' if name.revision else ''}`; or name a folder"
    )


def complete(folder: Path) -> bool:
    """Whether settings and all weights that the settings speak of are there."""
    import json

    if not (folder / "config.json").is_file():
        return False
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        # CTranslate2 keeps its weights in model.bin.
        return any(folder.glob("*.safetensors")) or (folder / "model.bin").is_file()
    try:
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    return all((folder / part).is_file() for part in parts)
