"""COCO's 80 everyday things, in its order, with other words for them (Lin et al., 2014)."""

from pathlib import Path
from typing import Any

import yaml

# The everyday things: what they are called, their kinds and their groups.
TABLE: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("coco.yaml").read_text(encoding="utf-8")
)
EVERYDAY: tuple[tuple[str, ...], ...] = tuple(
    tuple(row["names"].split("|")) for row in TABLE["classes"]
)
