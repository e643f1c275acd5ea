"""A hub of models on this machine that speaks the wire form of huggingface.co, for tests.

After the hub's client (huggingface_hub 2): what is kept in git has its git digest as ETag; what is
kept beside it (LFS) answers with a redirect to a store, its SHA-256 in `X-Linked-Etag`; the store
gives ranges of bytes.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"  # the commit of everything
LARGE = (".safetensors", ".bin")  # kept beside git


class SmallHub:
    """Serves files as models; faults go by the model's id. What is asked of it is kept."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.gated: dict[str, int] = {}  # model -> status: 401 without a login
        self.bad_token = False
        self.cut: int | None = None  # bytes of a file after which the hub is down
        self.ranges = True  # whether the store gives a part of a file
        self.gigabytes = 0  # that it says each file has
        self.asked: list[str] = []  # paths, in order
        self.fetched: list[tuple[str, str | None]] = []  # file, Range: what was downloaded
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        # As with the real one, on another host: the hub's client follows no further for a size.
        self.store = self.url.replace("127.0.0.1", "localhost")
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def named(self, digest: str) -> tuple[str, bytes] | None:
        """A large file by its SHA-256."""
        files = (one for model in self.models.values() for one in model.items())
        return next((one for one in files if _sha256(one[1]) == digest), None)


def use_hub(patch: pytest.MonkeyPatch, url: str, cache: Path, offline: bool = False) -> None:
    """What HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_OFFLINE say to a new process, in this one."""
    from huggingface_hub import constants

    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "ENDPOINT", url)
    form = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", form)
    patch.setattr(constants, "HF_HUB_OFFLINE", offline)


def _handler(hub: SmallHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append(self.path)
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._api("/".join(parts[2:4]), parts[4:])
            elif len(parts) > 4 and parts[2] == "resolve":
                self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            elif parts[0] == "store" and (found := hub.named(parts[-1])) is not None:
                self._part(*found, {"ETag": f'"{parts[-1]}"'})
            else:
                self._fault(404, "EntryNotFound")

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

        def _api(self, model: str, rest: list[str]) -> None:
            if self._refused(model, rest[1] if len(rest) > 1 else "main"):
                return
            files = sorted(hub.models[model].items())
            if rest[:1] == ["tree"]:
                self._json([_row(*one, hub.gigabytes) for one in files])
            else:
                names = [{"rfilename": name} for name, _ in files]
                self._json({"id": model, "sha": SHA, "siblings": names})

        def _resolve(self, model: str, revision: str, name: str) -> None:
            if self._refused(model, revision):
                return
            if model in hub.gated:  # what it holds is told to all
                self._fault(hub.gated[model], "GatedRepo")
                return
            data = hub.models[model].get(name)
            if data is None:
                self._fault(404, "EntryNotFound")
            elif name.endswith(LARGE):
                self.send_response(302)
                self.send_header("X-Linked-Etag", f'"{_sha256(data)}"')
                self.send_header("X-Linked-Size", str(_size(data, hub.gigabytes)))
                self.send_header("X-Repo-Commit", SHA)
                self.send_header("Location", f"{hub.store}/store/{_sha256(data)}")
                self._end(b"")
            else:
                told = {"ETag": f'"{_git_digest(data)}"', "X-Repo-Commit": SHA}
                self._part(name, data, told)

        def _part(self, name: str, data: bytes, headers: Mapping[str, str]) -> None:
            """A file, or its end, as far as the hub comes."""
            asked = self.headers.get("Range") if hub.ranges else None
            if self.command == "GET":
                if hub.cut is not None and hub.fetched and hub.fetched[-1][0] == name:
                    self._fault(503, "")  # down since it broke off
                    return
                hub.fetched.append((name, self.headers.get("Range")))
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Accept-Ranges", "bytes")
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self._end(data[start:], None if hub.cut is None else max(0, hub.cut - start))

        def _refused(self, model: str, revision: str) -> bool:
            if hub.bad_token:
                self._fault(401, "", "Invalid credentials in Authorization header")
            elif model not in hub.models:
                self._fault(404, "RepoNotFound")
            elif revision not in (SHA, "main"):
                self._fault(404, "RevisionNotFound")
            else:
                return False
            return True

        def _json(self, value: Any) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self._end(json.dumps(value).encode())

        def _fault(self, status: int, code: str, message: str = "") -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message or code)
            self._end(b"{}")

        def _end(self, data: bytes, cut: int | None = None) -> None:
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data[:cut])
                self.close_connection = cut is not None and cut < len(data)

    return Handler


def _row(name: str, data: bytes, gigabytes: int) -> dict[str, Any]:
    """A file as the list of a repository tells it."""
    size = _size(data, gigabytes)
    row = {"type": "file", "path": name, "size": size, "oid": _git_digest(data)}
    if name.endswith(LARGE):
        row["lfs"] = {"oid": _sha256(data), "size": size, "pointerSize": 134}
    return row


def _size(data: bytes, gigabytes: int) -> int:
    return gigabytes * 10**9 or len(data)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
