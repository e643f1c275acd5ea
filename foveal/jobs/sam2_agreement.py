"""`foveal models verify-sam2`: how far our SAM 2 is from the `sam2` package with a checkpoint."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stream.errors import ConfigError

if TYPE_CHECKING:
    from perception.sam2_tracking.verification import Agreement

TRAINED_SIZE = 1024  # px


def report_agreement(names: list[str], image_size: int | None, as_json: bool) -> int:
    """Compare with the one checkpoint that is named, print a table or JSON; 0 when all agrees.

    EdgeTAM's is compared with transformers' session.

    Raises ConfigError for no or several names or without the package, AssetError for a file that
    is no checkpoint.
    """
    from perception.sam2_tracking.verification import verify

    if len(names) != 1 or Path(names[0]).suffix != ".pt":
        raise ConfigError(
            "expected one checkpoint of SAM 2, 2.1 or EdgeTAM as published (a .pt file), got "
            f"{names}"
        )
    size = image_size or TRAINED_SIZE
    rows = verify(Path(names[0]), size)
    agrees = all(row.agrees for row in rows)
    if as_json:
        told = {"checkpoint": names[0], "image_size": size, "agrees": agrees}
        print(json.dumps(told | {"components": [_as_dict(row) for row in rows]}))
    else:
        _print(rows)
    return int(not agrees)


def _as_dict(row: "Agreement") -> dict[str, object]:
    known: dict[str, object] = {
        "component": row.component,
        "largest_difference": row.difference,
        "distance": row.distance,
        "allowed_distance": row.limit,
        "agrees": row.agrees,
    }
    return known | ({"least_iou": 1 - row.difference} if row.component == "masks" else {})


def _print(rows: "tuple[Agreement, ...]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("component", "largest difference", "distance", "allowed", "agrees")
    for row in rows:
        name = "masks (1 - IoU)" if row.component == "masks" else row.component
        numbers = (f"{one:.3g}" for one in (row.difference, row.distance, row.limit))
        table.add_row(name, *numbers, "yes" if row.agrees else "NO")
    Console().print(table)
