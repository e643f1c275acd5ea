"""Which collection of which Qdrant server, and where its points hold what; light to import."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from stream.bounds import within
from stream.errors import ConfigError
from stream.events import Tier
from stream.outgoing import is_local

SCHEME = "qdrant:"


@dataclass(frozen=True, slots=True)
class QdrantConfig:
    """Search in a collection of a Qdrant server; raises ConfigError for an address that is none.

    A point's payload holds the names below; what it lacks stays empty, and a point without a title
    or text is left out.
    """

    url: str | None = None  # qdrant:http://HOST:6333#COLLECTION; None: nothing is sent
    title: str = "title"
    text: str = "text"
    source: str = "source"
    date: str = "date"  # RFC 3339, or a day
    tags: str = "tags"
    link: str = "url"
    words: str = ""  # the named vector of texts, by the index's own encoder; "": the unnamed one
    pictures: str | None = None  # that of retrieval.encoder; None: no picture is searched for
    tier: Tier = "vetted"  # of points that bear none
    timeout_s: Annotated[float, within(1.0, 60.0)] = 4.0  # of a request, in whole seconds
    api_key_env: str = "QDRANT_API_KEY"  # the variable with the key; sent when it is set

    def __post_init__(self) -> None:
        if self.url is not None:
            Place.parse(self.url)

    @property
    def place(self) -> "Place":
        """Server and collection; raises ConfigError for none."""
        return Place.parse(self.url or "")


@dataclass(frozen=True, slots=True)
class Place:
    """A collection of a server."""

    url: str
    collection: str

    @classmethod
    def parse(cls, text: str) -> "Place":
        """`qdrant:URL#COLLECTION`; raises ConfigError for anything else."""
        url, _, collection = text.removeprefix(SCHEME).partition("#")
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and collection
        if not text.startswith(SCHEME) or not known or parts.username or parts.password:
            raise ConfigError(
                "expected qdrant:URL#COLLECTION with an http or https URL without a password, "
                f"got {text!r}"
            )
        return cls(url.rstrip("/"), collection)

    @property
    def server(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    def check_key(self, key: str | None) -> None:
        """Raises ConfigError where a key would go over a network in the clear."""
        if key and self.url.startswith("http://") and not is_local(self.server):
            raise ConfigError(
                f"expected https for {self.server}: the key would be sent in the clear; use "
                "https, or unset the variable that api_key_env names"
            )
