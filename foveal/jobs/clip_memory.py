"""What a replay remembers of its clip, as if it were seen when it was recorded."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foveal.config.schema import MemorySettings
from foveal.session.memory.kept_views import KeptViews
from foveal.session.memory.recalling import Recalling
from foveal.session.memory.remember import Rememberer, Remembering
from foveal.session.stages import SessionSink
from foveal.setup.assistant import Models
from foveal.setup.remembering import open_rememberer
from stream.clock import NS_PER_S, UnixClock, VirtualClock


@dataclass(slots=True, eq=False)
class ClipMemory:
    """The memory of one replay; none where the settings name no file.

    Time is the clip's: it began when its file was written, so that two replays tell the same times.
    The same clip is the same session, and what is known of it already stays as it is.
    """

    name: str
    anchor_ns: int
    wall: VirtualClock
    rememberer: Rememberer | None = None
    asked: Recalling | None = None  # the searcher of a session
    tap: Remembering | None = None

    @classmethod
    def open(cls, settings: MemorySettings, clip: Path | None, models: Models) -> "ClipMemory":
        """`clip` None: frames that come from elsewhere, now.

        Raises MemoryFileError for a file that is no memory, or that another process writes.
        """
        name, anchor_ns = "stream", UnixClock().now_ns()
        if clip is not None and clip.exists():
            name, anchor_ns = clip.name, clip.stat().st_mtime_ns
        plain = "".join(char if char.isprintable() else "?" for char in name)
        told = anchor_ns if clip is None else anchor_ns // NS_PER_S
        memory = cls(f"{plain[:150]}@{told}", anchor_ns, VirtualClock(anchor_ns))
        if settings.path is not None:
            memory.rememberer, memory.asked = open_rememberer(
                settings, models, memory.wall, replays=True
            )
        return memory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.asked is not None:
            self.asked.close()
        if self.rememberer is not None:
            self.rememberer.close()

    @property
    def views(self) -> KeptViews | None:
        """Pictures of what was seen in this replay; None without a memory."""
        return None if self.rememberer is None else self.rememberer.views

    def before(self, sink: SessionSink) -> SessionSink:
        """The sink, with the tap of this memory in front of it."""
        if self.rememberer is None:
            return sink
        self.tap = self.rememberer.tap(sink, self.name, self.anchor_ns, self.wall)
        return self.tap

    def figures(self) -> dict[str, Any]:
        """What is in the memory now, as JSON values; nothing where there is none."""
        if self.rememberer is None or self.tap is None:
            return {}
        self.tap.close()
        self.rememberer.settle()
        status = self.rememberer.writer.status
        told = {"file": str(self.rememberer.writer.path), "events": status.events}
        lost = {**status.refused, **self.tap.left_out}
        return {"memory": {**told, "sights": status.sights, "refused": lost}}
