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


@dataclass(slots=True)
class _Bucket:
    level: float  # requests that may still come at once
    updated_ns: int


class RateLimit:
    """A token bucket per peer; remembers the most recent peers only."""

    def __init__(self, clock: Clock, per_s: float, burst: int, max_peers: int = 4096) -> None:
        if per_s <= 0 or burst < 1:
            raise ConfigError(f"expected a rate > 0 and a burst >= 1, got {per_s} and {burst}")
        self._clock = clock
        self._per_s = per_s
        self._burst = burst
        self._max_peers = max_peers
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, peer: str) -> float:
        """Count one request; 0 when it may pass, else the seconds until the next one may."""
        now_ns = self._clock.now_ns()
        bucket = self._buckets.pop(peer, None) or _Bucket(self._burst, now_ns)
        gained = (now_ns - bucket.updated_ns) / NS_PER_S * self._per_s
        bucket.level, bucket.updated_ns = min(self._burst, bucket.level + gained), now_ns
        self._buckets[peer] = bucket
        if len(self._buckets) > self._max_peers:
            self._buckets.popitem(last=False)
        if bucket.level < 1:
            return (1 - bucket.level) / self._per_s
        bucket.level -= 1
        return 0.0
