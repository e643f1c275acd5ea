"""Download of a pinned npm package's tarball; nothing of it is installed or run.

The registry is npm's own unless npm's variable NPM_CONFIG_REGISTRY names a mirror; proxies come
from HTTPS_PROXY and NO_PROXY, a private certificate authority from SSL_CERT_FILE.
"""

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from stream.errors import AssetError

NPM = "npm:"
REGISTRY = "https://registry.example"
REGISTRY_ENV = "NPM_CONFIG_REGISTRY"
MAX_BYTES = 1 << 28  # no pinned tarball comes near
ATTEMPTS = 4  # each goes on where the connection broke
TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 17
_SOURCE = re.compile(r"npm:((?:@[\w.-]+/)?[\w.-]+)@(\d[\w.+-]*)")

OnDownload = Callable[[int, int | None], None]  # bytes so far, bytes in all if known
_CUT = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def tarball_url(source: str) -> str:
    """`npm:@scope/name@1.2.3` -> the tarball's address; raises AssetError for other text."""
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise AssetError(f"expected npm:NAME@VERSION, got {source!r}")
    name, version = match.groups()
    registry = os.environ.get(REGISTRY_ENV) or os.environ.get(REGISTRY_ENV.lower()) or REGISTRY
    return f"{registry.rstrip('/')}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"


def fetch_tarball(source: str, folder: Path, on_download: OnDownload) -> Path:
    """Download one pinned tarball into a folder; a broken connection is taken up again.

    Raises AssetError when the registry cannot be reached, lacks the package, or sends too much.
    """
    url = tarball_url(source)
    path = folder / url.rpartition("/")[2]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _download(url, path, on_download)
            return path
        except urllib.error.HTTPError as error:
            raise AssetError(f"could not fetch {source}: {url} answered {error.code}") from error
        except _CUT as error:
            if attempt == ATTEMPTS:
                reason = getattr(error, "reason", error)
                raise AssetError(
                    f"could not fetch {source} from {url}: {reason}; check the network and "
                    f"HTTPS_PROXY, or set {REGISTRY_ENV} to a mirror"
                ) from error
        except OSError as error:
            raise AssetError(
                f"could not write {path}: {error}; free some space or move FOVEAL_CACHE"
            ) from error
    raise AssertionError("the last attempt returns or raises")


def _download(url: str, path: Path, on_download: OnDownload) -> None:
    """Append what is missing of `path`; raises ConnectionError when the stream ends early."""
    have = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        if have and response.status != 206:  # the server begins anew
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with path.open("ab" if have else "wb") as target:
            while chunk := response.read(_CHUNK_BYTES):
                have += len(chunk)
                if max(have, total or 0) > MAX_BYTES:
                    raise AssetError(f"{url} is larger than {MAX_BYTES} bytes")
                target.write(chunk)
                on_download(have, total)
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")
