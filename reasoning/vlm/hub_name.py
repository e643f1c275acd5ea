"""Where a published model lies; light, because configurations are checked with it."""

import re
from dataclasses import dataclass
from pathlib import Path

from stream.errors import ConfigError

_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_REVISION = re.compile(r"[\w./-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubName:
    """A model of the hub at a revision, or a folder of this machine."""

    id: str  # owner/name; empty for a folder
    revision: str | None = None  # a commit, tag or branch; None is the main branch
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str) -> "HubName":
        """`OWNER/NAME`, `OWNER/NAME@REVISION` or a folder; ConfigError for anything else.

        What begins with a slash, a dot or a tilde is a folder, and so is what exists as one.
        """
        path = Path(text).expanduser()
        if text.startswith(("/", ".", "~")) or (text and path.is_dir()):
            return cls("", folder=path)
        name, at, revision = text.partition("@")
        if not _ID.fullmatch(name) or (at and not _REVISION.fullmatch(revision)):
            raise ConfigError(
                f"expected a model of the hub as OWNER/NAME or OWNER/NAME@REVISION, or a folder "
                f"(/…, ./… or ~/…), got {text!r}"
            )
        return cls(name, revision or None)

    def __str__(self) -> str:
        return str(self.folder) if self.folder else f"{self.id}@{self.revision or 'main'}"
