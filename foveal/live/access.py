"""What one client may do in one session: its token's scopes, and whose session it is."""

from dataclasses import dataclass
from typing import Literal

from devices.http.admission import Grant
from stream.errors import PromptError

Right = Literal["view", "ask", "publish", "record", "manage"]


@dataclass(frozen=True, slots=True)
class Access:
    """Travels with the client's link; `manage` is to stop, to forget, to speak for the device."""

    view: bool
    ask: bool
    publish: bool
    record: bool
    manage: bool

    @property
    def rights(self) -> tuple[Right, ...]:
        """Those that there are."""
        names: tuple[Right, ...] = ("view", "ask", "publish", "record", "manage")
        return tuple(name for name in names if getattr(self, name))

    def need(self, right: Right) -> None:
        """Raises PromptError without that right."""
        if not getattr(self, right):
            raise PromptError(f"your token does not allow it here: it lacks the right to {right}")


FULL = Access(True, True, True, True, True)  # on a server without tokens


def access_of(grant: Grant, owner: Grant | None) -> Access:
    """What a token allows in the session that another one (`owner`) has started.

    To look and to ask takes a scope. What changes the session is for its owner and for admins
    alone; a session of the box's own cameras has no owner.
    """
    mine = grant.allows("admin") or (owner is not None and owner.digest == grant.digest)
    return Access(
        view=grant.allows("view"),
        ask=grant.allows("ask"),
        publish=mine and grant.allows("publish"),
        record=mine and grant.allows("record"),
        manage=mine,
    )
