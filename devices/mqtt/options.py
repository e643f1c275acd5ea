"""Where the broker is, and the bridge's limits."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import ConfigError

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker. The password never shows in `repr`, `str` or a message."""

    host: str
    port: int = 1883
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None  # trusted instead of the system's authorities

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS checks the broker with; None without TLS. ConfigError for a bad `ca_file`."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"expected a PEM file of certificates, got {self.ca_file}: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """Limits and periods."""

    base: str = "homie"
    discovery_prefix: str = "homeassistant"  # "" publishes no discovery
    outbox: int = 256  # messages that wait at most
    waiting_questions: int = 4  # more are refused as busy
    recent_answers: int = 5  # kept retained for who was away; 0 keeps none
    keepalive_s: int = 20  # the broker tells `lost` after 1.5 times this
    timeout_s: float = 5.0  # of connecting and of each acknowledgement
    flush_ns: int = 2 * NS_PER_S  # how long `close` waits for what is unsent
    report_ns: int = 30 * NS_PER_S  # between two readings of battery and temperature
    first_delay_ns: int = 500 * NS_PER_MS
    most_delay_ns: int = 30 * NS_PER_S

    def __post_init__(self) -> None:
        least = min(self.outbox, self.waiting_questions, self.keepalive_s, self.first_delay_ns)
        if least < 1 or self.recent_answers < 0 or self.timeout_s <= 0 or self.report_ns < 1:
            raise ConfigError(f"expected positive limits and periods, got {self}")


def parse_broker(url: str, password: str | None = None, ca_file: Path | None = None) -> Broker:
    """`mqtt[s]://[user[:password]@]host[:port]`; `password` wins over the URL's.

    Raises ConfigError, which never repeats the URL's credentials.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError("expected mqtt://host:port with a port of 1 to 65535") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(
            "expected mqtt://host, mqtts://host:port or mqtt://user:password@host, got "
            f"scheme {parts.scheme!r}, host {parts.hostname!r}"
        )
    if ca_file is not None and parts.scheme != "mqtts":
        raise ConfigError("expected mqtts:// together with a file of authorities, got mqtt://")
    given = unquote(parts.password) if parts.password else None
    return Broker(
        host=parts.hostname,
        port=_PORTS[parts.scheme] if port is None else port,
        tls=parts.scheme == "mqtts",
        username=unquote(parts.username) if parts.username else None,
        password=password if password is not None else given,
        ca_file=ca_file,
    )
