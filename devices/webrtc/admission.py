"""Who may connect, and how often: bearer tokens by their hash, and a rate limit."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from stream.clock import NS_PER_S, Clock
from stream.errors import ConfigError


def hash_token(token: str) -> str:
    """What to keep of a token: its SHA-256 in hex. Tokens are random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """Accepts the tokens whose SHA-256 digests it was given."""

    def __init__(self, digests: Iterable[str]) -> None:
        self._digests = [digest.lower() for digest in digests]
        for digest in self._digests:
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise ConfigError("expected SHA-256 digests in hex; make them with hash_token")

    def accepts(self, authorization: str | None) -> bool:
        """Whether an Authorization header (RFC 6750) carries a known token."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        digest = hash_token(token.strip())
        return any(hmac.compare_digest(digest, known) for known in self._digests)


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
