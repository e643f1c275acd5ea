"""The seam of trackers: what a session asks of any of them, and what only some can do."""

from typing import Any, Protocol, runtime_checkable

from perception.features.backbone import Features
from stream.events import Region
from stream.frame import Frame, Mask


class MaskTracker(Protocol):
    """Any tracker that starts from masks; its state is its own affair, and bounded."""

    def init_state(self) -> Any: ...

    def step(
        self, state: Any, frame: Frame, features: Features | None = None
    ) -> tuple[Any, tuple[Region, ...]]: ...

    def add(
        self, state: Any, frame: Frame, features: Features | None, mask: Mask, /
    ) -> tuple[Any, int]: ...

    def remove(self, state: Any, track_id: int) -> Any: ...


@runtime_checkable
class Doubting(Protocol):
    """A tracker that can be told that a masklet slid onto something else, and seeks it again."""

    def doubt(self, state: Any, track_id: int) -> Any: ...


@runtime_checkable
class LookingAhead(Protocol):
    """A tracker that can make ahead what it will need of a coming frame alone."""

    @property
    def look_every(self) -> int:
        """Of how many frames one is worth it; 0 for none."""

    def look_ahead(self, frame: Frame) -> None: ...


@runtime_checkable
class Adopting(Protocol):
    """A tracker that can take in a masklet which was followed in another state."""

    def carrier(self) -> MaskTracker:
        """What follows a masklet in a state of its own, in any thread; it gives the same result
        whenever it is asked."""

    def adopt(self, state: Any, other: Any, track_id: int) -> tuple[Any, int]:
        """`other`'s masklet goes on in `state`, both at the same frame; its id there."""
