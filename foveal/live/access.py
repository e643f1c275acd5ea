"""What one client may do in one session: its token's scopes, and whose session it is."""

from dataclasses import dataclass
from typing import Literal, get_args

from devices.http.admission import Grant
from stream.errors import PromptError

# `manage` is to stop, to forget, to speak for the device.
Right = Literal["view", "ask", "publish", "record", "manage"]
SCOPED: tuple[Right, ...] = ("view", "ask")
OWN: tuple[Right, ...] = ("publish", "record")  # by a scope, in one's own session


@dataclass(frozen=True, slots=True)
class Access:
    """Travels with the client's link."""

    rights: tuple[Right, ...]

    def need(self, right: Right) -> None:
        """Raises PromptError without that right."""
        if right not in self.rights:
            raise PromptError(f"your token does not allow it here: it lacks the right to {right}")


FULL = Access(get_args(Right))  # on a server without tokens


def access_of(grant: Grant, owner: Grant | None) -> Access:
    """What a token allows in the session that another one (`owner`) has started.

    To look and to ask takes a scope. What changes the session is for its owner and for admins
    alone; a session of the box's own cameras has no owner.
    """
    rights = [right for right in SCOPED if grant.allows(right)]
    if grant.allows("admin") or (owner is not None and owner.digest == grant.digest):
        rights += [right for right in OWN if grant.allows(right)]
        rights.append("manage")
    return Access(tuple(rights))
