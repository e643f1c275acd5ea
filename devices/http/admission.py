"""Who may connect, and how often: bearer tokens by their hash, and a rate limit."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stream.clock import NS_PER_S, Clock
from stream.errors import ConfigError


def hash_token(token: str) -> str:
    """What to keep of a token: its SHA-256 in hex. Tokens are random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token allows, and until when; raises ConfigError when the digest is none."""

    digest: str  # of the token, by `hash_token`
    scopes: frozenset[str] | None = None  # None: everything
    expires_ns: int | None = None  # Unix time
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.digest) != 64 or set(self.digest.lower()) - set("0123456789abcdef"):
            raise ConfigError("expected SHA-256 digests in hex; make them with hash_token")

    def allows(self, scope: str | None) -> bool:
        """Whether it reaches so far; None is what every token may do."""
        return scope is None or self.scopes is None or scope in self.scopes

    def covers(self, other: "Grant") -> bool:
        """Whether it allows all that the other one does."""
        return self.scopes is None or (other.scopes is not None and other.scopes <= self.scopes)


ANYBODY = Grant(hash_token(""))  # where no token is needed


class Tokens:
    """Knows tokens by their digests; the list may change at any time."""

    def __init__(self, grants: Callable[[], Iterable[Grant]], wall: Clock) -> None:
        """`wall` tells Unix time, for expiry."""
        self._grants, self._wall = grants, wall

    def grant(self, authorization: str | None) -> Grant | None:
        """What an Authorization header (RFC 6750) grants; None when unknown or expired."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest, now_ns = hash_token(token.strip()), self._wall.now_ns()
        found = None
        for known in self._grants():  # all of them: the time taken tells nothing
            same = hmac.compare_digest(digest, known.digest.lower())
            if same and (known.expires_ns is None or now_ns < known.expires_ns):
                found = known
        return found

    def holds(self, grant: Grant) -> bool:
        """Whether a grant is still given: not revoked, not expired, and no scope taken away."""
        now_ns = self._wall.now_ns()
        return any(
            known.digest.lower() == grant.digest.lower()
            and (known.expires_ns is None or now_ns < known.expires_ns)
            and known.covers(grant)
            for known in self._grants()
        )


class RateLimit:
    """A token bucket per peer, as the time at which it is full again (GCRA, ITU-T I.371).

    Remembers the most recent peers only. The library `limits` has windows but no bucket, keeps
    every peer, and reads the wall clock itself, which may jump and cannot be given to it.
    """

    def __init__(self, clock: Clock, per_s: float, burst: int, max_peers: int = 4096) -> None:
        if per_s <= 0 or burst < 1:
            raise ConfigError(f"expected a rate > 0 and a burst >= 1, got {per_s} and {burst}")
        self._clock, self._max_peers = clock, max_peers
        self._interval_ns = NS_PER_S / per_s
        self._tolerance_ns = (burst - 1) * self._interval_ns
        self._full_ns: OrderedDict[str, float] = OrderedDict()  # the most recent peer last

    def wait_s(self, peer: str) -> float:
        """Count one request; 0 when it may pass, else the seconds until the next one may."""
        now_ns = self._clock.now_ns()
        full_ns = max(now_ns, self._full_ns.pop(peer, now_ns))
        wait_ns = max(0.0, full_ns - now_ns - self._tolerance_ns)
        self._full_ns[peer] = full_ns if wait_ns else full_ns + self._interval_ns
        if len(self._full_ns) > self._max_peers:
            self._full_ns.popitem(last=False)
        return wait_ns / NS_PER_S
