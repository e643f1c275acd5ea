"""A certificate of its own for a box without one: browsers ask once, then the camera works."""

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import ifaddr
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stream.clock import NS_PER_S, Clock
from stream.errors import ConfigError
from stream.writing import writing

VALID_DAYS = 397  # browsers take no certificate that lives longer
RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files, and what a visitor may compare."""

    chain: Path
    key: Path
    fingerprint: str  # SHA-256, "AB:CD:..."


def server_context(chain: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate; raises ConfigError when it cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"expected a PEM certificate and its key, got: {error}") from error
    return context


def self_signed(folder: Path, names: Iterable[str], wall: Clock) -> Certificate:
    """The certificate kept in `folder`, made anew when it is missing, old or for other names.

    `wall` tells Unix time. Raises OutputError when it cannot be written.
    """
    chain, key = folder / "cert.pem", folder / "key.pem"
    wanted = {*names, "localhost", "127.0.0.1", "::1", socket.gethostname()}
    now = datetime.datetime.fromtimestamp(wall.now_ns() // NS_PER_S, datetime.UTC)
    known = _load(chain) if key.is_file() else None
    if known is None or not _suits(known, wanted, now):
        private = ec.generate_private_key(ec.SECP256R1())
        known = _make(private, wanted, now)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _write(key, _pem(private))
            _write(chain, known.public_bytes(serialization.Encoding.PEM))
    return Certificate(chain, key, known.fingerprint(hashes.SHA256()).hex(":").upper())


def local_addresses() -> list[str]:
    """Addresses of this machine that others may use, the likeliest first; without asking anybody.

    Those of all networks it hangs on, with or without a way to the internet: it may itself be the
    access point. Left out are loopback and IPv6 link-local ones, which no browser can be sent to.
    """
    found = set()
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            address = ipaddress.ip_address(one.ip if isinstance(one.ip, str) else one.ip[0])
            if not address.is_loopback and not (one.is_IPv6 and address.is_link_local):
                found.add(str(address))
    outward = _outward_address()
    return sorted(found, key=lambda address: (address != outward, address))


def _outward_address() -> str | None:
    """The address that the way to the internet begins at, if there is one."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        unsent.connect(("192.0.2.1", 9))  # picks the interface; sends nothing
        return str(unsent.getsockname()[0])
    return None


def _make(
    private: ec.EllipticCurvePrivateKey, names: set[str], now: datetime.datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Foveal")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(n) for n in sorted(names)]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(private, hashes.SHA256())
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _suits(certificate: x509.Certificate, names: set[str], now: datetime.datetime) -> bool:
    if certificate.not_valid_after_utc - now < datetime.timedelta(days=RENEW_DAYS):
        return False
    kind = x509.SubjectAlternativeName
    known = certificate.extensions.get_extension_for_class(kind).value
    return {_name(name) for name in names} <= set(known)


def _load(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Only its owner may read it, from the first byte on."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
