"""Bearer tokens by hash, and the rate limit on a virtual clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.http.admission import Grant, RateLimit, Tokens, hash_token
from stream.clock import NS_PER_S, VirtualClock
from stream.errors import ConfigError


def test_only_a_known_bearer_token_is_accepted() -> None:
    grants = [Grant(hash_token("one")), Grant(hash_token("two").upper(), name="second")]
    tokens = Tokens(lambda: grants, VirtualClock())
    accepted = ["Bearer one", "bearer two", "Bearer  one "]
    refused = [None, "", "Bearer", "Bearer three", "Basic one", "one", hash_token("one")]
    assert all(tokens.grant(header) for header in accepted)
    assert not any(tokens.grant(header) for header in refused)
    found = tokens.grant("Bearer two")
    assert found is not None and found.name == "second"
    grants.pop()  # revoked while the server runs
    assert tokens.grant("Bearer two") is None
    with pytest.raises(ConfigError, match="hash_token"):
        Grant("one")


def test_a_token_expires_and_reaches_its_scopes_only() -> None:
    clock = VirtualClock(1000)
    grant = Grant(hash_token("one"), frozenset({"play"}), expires_ns=2000)
    tokens = Tokens(lambda: [grant], clock)
    assert tokens.grant("Bearer one") is grant
    assert [grant.allows(scope) for scope in ("play", "publish", None)] == [True, False, True]
    assert Grant(hash_token("two")).allows("anything")
    clock.advance_to(2000)
    assert tokens.grant("Bearer one") is None


def test_a_burst_passes_then_the_rate_holds() -> None:
    clock = VirtualClock()
    limit = RateLimit(clock, per_s=2.0, burst=3)
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.wait_s("b") == 0
    clock.advance_to(NS_PER_S // 2)
    assert limit.wait_s("a") == 0
    assert limit.wait_s("a") > 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, NS_PER_S)), max_size=200))
def test_no_peer_passes_more_than_its_share(steps: list[tuple[int, int]]) -> None:
    clock = VirtualClock()
    limit = RateLimit(clock, per_s=2.0, burst=3)
    passed = dict.fromkeys(range(4), 0)
    for peer, wait_ns in steps:
        clock.advance_to(clock.now_ns() + wait_ns)
        passed[peer] += limit.wait_s(str(peer)) == 0
    assert max(passed.values()) <= 3 + 2 * clock.now_ns() / NS_PER_S + 1e-6


def test_peers_are_forgotten_in_the_end() -> None:
    limit = RateLimit(VirtualClock(), per_s=1.0, burst=1, max_peers=10)
    assert all(limit.wait_s(str(peer)) == 0 for peer in range(1000))
    assert len(limit._full_ns) == 10
