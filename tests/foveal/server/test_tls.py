"""The certificate that a box makes for itself."""

import asyncio
import datetime
import os
import shutil
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from foveal.server.auth.tls import (
    RENEW_DAYS,
    VALID_DAYS,
    local_addresses,
    self_signed,
    server_context,
)
from stream.clock import NS_PER_S, UnixClock, VirtualClock
from stream.errors import ConfigError

DAY_NS = 86_400 * NS_PER_S


def test_it_is_kept_until_it_is_old_or_for_another_name(tmp_path: Path) -> None:
    clock = VirtualClock(UnixClock().now_ns())
    first = self_signed(tmp_path, ["box.local"], clock)
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert self_signed(tmp_path, ["box.local", "localhost"], clock) == first
    other = self_signed(tmp_path, ["192.168.1.5"], clock)
    assert other.fingerprint != first.fingerprint
    clock.advance_to(clock.now_ns() + (VALID_DAYS - RENEW_DAYS + 1) * DAY_NS)
    assert self_signed(tmp_path, ["192.168.1.5"], clock).fingerprint != other.fingerprint


async def test_a_client_that_trusts_it_connects_by_name(tmp_path: Path) -> None:
    made = self_signed(tmp_path, [], UnixClock())

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    context = server_context(made.chain, made.key)
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(made.chain))
    for name in ("localhost", "127.0.0.1"):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname=name
        )
        assert await reader.read() == b"hello"
        writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="example.org"
        )
    server.close()
    certificate = x509.load_pem_x509_certificate(made.chain.read_bytes())
    lives = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lives < datetime.timedelta(days=398)


def test_files_that_are_no_certificate_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no")
    with pytest.raises(ConfigError, match="PEM"):
        server_context(tmp_path / "bad.pem", tmp_path / "bad.pem")


def test_addresses_of_this_machine_are_found_without_a_network() -> None:
    assert all(address.count(".") == 3 or ":" in address for address in local_addresses())


ALONE = """
ip link set lo up
ip link add v0 type veth peer name v1
ip addr add 192.168.4.1/24 dev v0
ip addr add 10.0.7.1/24 dev v1
ip link set v0 up
ip link set v1 up
"$PYTHON" -c "
from foveal.server.launch import addresses
print(*addresses('https', '0.0.0.0', 8443, None))"
"""


def can_unshare() -> bool:
    return shutil.which("ip") is not None and (
        subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_unshare(), reason="network namespaces cannot be made here")
def test_a_box_that_is_its_own_access_point_tells_all_its_addresses() -> None:
    """It has no default route, and two networks."""
    told = subprocess.run(
        ["unshare", "-rn", "sh", "-ec", ALONE],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [
        "https://localhost:8443/",
        "https://10.0.7.1:8443/",
        "https://192.168.4.1:8443/",
    ]
