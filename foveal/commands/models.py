"""`foveal models`: list, pull and verify the pinned assets, and SAM 2 against its package."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from foveal.assets.hub import HubModel
    from foveal.assets.registry import Asset

HELP = "list, pull and verify the pinned assets and published models, and SAM 2 with its package"
EPILOG = """examples:
  foveal models list
  foveal models pull                     # what `make demo` needs
  foveal models pull whisper-tiny-en
  foveal models pull --config edge       # all that a profile or a settings file needs
  foveal models list --config mine.yaml
  FOVEAL_CACHE=/data/models foveal models pull --all
  foveal models verify --json
  foveal models verify-sam2 sam2.1_hiera_tiny.pt --image-size 512    # needs the sam2 package
  foveal models verify-sam2 edgetam.pt    # beside transformers' own session
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("action", choices=("list", "pull", "verify", "verify-sam2"))
    parser.add_argument(
        "names", nargs="*", help="assets (default: the embedded ones); verify-sam2: a checkpoint"
    )
    parser.add_argument(
        "--config", metavar="PROFILE|FILE", help="what these settings need, published models too"
    )
    parser.add_argument("--all", action="store_true", help="every asset in the registry")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--image-size", type=int, help="verify-sam2: model picture size in px (default: 1024)"
    )


def run(args: argparse.Namespace) -> int:
    """0 when every named asset is there and right, or SAM 2 agrees; 1 otherwise."""
    if args.action == "verify-sam2":
        from foveal.jobs.sam2_agreement import report_agreement

        return report_agreement(args.names, args.image_size, args.json)
    from foveal.assets.hub import pull_all
    from foveal.assets.registry import ASSETS, find_asset

    models, hearing = _of_settings(args.config) if args.config else ((), ())
    if args.names:
        assets = [find_asset(name) for name in args.names]
    else:
        everything = args.all or (args.action == "list" and not args.config)
        assets = [
            asset for asset in ASSETS if asset.embedded or everything or asset.name in hearing
        ]
    if args.action == "pull":
        _pull(assets, required=args.names)
        pull_all(models, lambda line: print(line, file=sys.stderr))
    rows = [_state(asset) for asset in assets]
    published = [_published(model) for model in models]
    if args.json:
        print(json.dumps({"assets": rows, **({"models": published} if args.config else {})}))
    else:
        _print([*rows, *published], args.config)
    spare = {asset.name for asset in assets if not asset.needed} - set(args.names)
    failed = any(row["state"] != "ok" for row in rows if row["name"] not in spare)
    failed = failed or any(row["state"] != "ok" for row in published)
    return int(failed and args.action != "list")


def _of_settings(what: str) -> "tuple[tuple[HubModel, ...], tuple[str, ...]]":
    """The published models that settings name, and the assets that hear."""
    from foveal.assets.hub import needed
    from foveal.config.load import load_config
    from foveal.config.models import EMBEDDED

    config = load_config(what)
    own = ("whisper-tiny-en",) if config.hearing.model == EMBEDDED else ()
    return needed(config), (*own, "smart-turn")


def _published(model: "HubModel") -> dict[str, object]:
    """A row as `_state` gives of an asset."""
    from foveal.assets.hub import snapshot

    folder = snapshot(model)
    return {
        "name": model.id,
        "what": model.what,
        "licence": model.licence,
        "needed": True,
        "megabytes": model.megabytes,
        "revision": model.revision,
        "unpinned": model.unpinned,
        "folder": None if folder is None else str(folder),
        "state": "missing" if folder is None else "ok",
    }


def _pull(assets: "list[Asset]", required: Sequence[str]) -> None:
    """Pull all; what is neither needed nor asked for by name may fail with a hint."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from foveal.assets.registry import cache_root
    from stream.errors import AssetError

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    root = cache_root()
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        for asset in assets:
            try:
                _pull_one(asset, root, progress)
            except AssetError as error:
                if asset.needed or asset.name in required:
                    raise
                progress.console.print(
                    f"{error}. Foveal runs without {asset.name} ({asset.what}); "
                    f"`foveal models pull {asset.name}` tries again."
                )


def _pull_one(asset: "Asset", root: Path, progress: "Progress") -> None:
    from foveal.assets.pull import fetch_archive, pull_asset

    task = progress.add_task(asset.name, total=asset.size)

    def fetch(source: str, folder: Path) -> Path:
        download = progress.add_task(source, total=None)
        try:
            return fetch_archive(source, folder)
        finally:
            progress.remove_task(download)

    pull_asset(asset, root, fetch, lambda _, count: progress.advance(task, count))
    progress.update(task, completed=asset.size)


def _state(asset: "Asset") -> dict[str, object]:
    from foveal.assets.convert import check_derived
    from foveal.assets.registry import cache_root, check_file
    from stream.errors import AssetError

    folder, state = cache_root() / asset.name, "ok"
    try:
        for file in asset.files:
            check_file(file, folder / file.name)
        check_derived(asset, folder)
    except AssetError as error:
        state = str(error)
    return {
        "name": asset.name,
        "what": asset.what,
        "licence": asset.licence,
        "needed": asset.needed,
        "megabytes": round(asset.size / 1e6, 1),
        "sources": sorted({file.source for file in asset.files}),
        "sha256": {file.name: file.sha256 for file in asset.files},
        "folder": str(folder),
        "state": state,
    }


def _print(rows: list[dict[str, object]], settings: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table, missing = Table(), False
    for column in ("name", "what", "licence", "megabytes", "state"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        state = str(row["state"])
        if "missing" in state:  # told once, below
            missing, state = True, "missing"
        table.add_row(*(str(row[c]) for c in ("name", "what", "licence", "megabytes")), state)
    console = Console()
    console.print(table)
    if missing and settings:
        console.print(f"`foveal models pull --config {settings}` brings what is missing.")
    elif missing:
        console.print(
            "`foveal models pull` brings what is needed, `foveal models pull NAME` one of them."
        )
