"""A hub of models on this machine that speaks the wire form of huggingface.co, for tests."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"  # the commit of everything


class SmallHub:
    """Serves folders as models; faults go by the model's id."""

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self.gated: dict[str, int] = {}  # model -> status: 401 without a login
        self.bad_token = False
        self.asked: list[str] = []  # paths, in order
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


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
                self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            else:
                self._fault(404, "EntryNotFound")

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

        def _api(self, model: str, rest: list[str]) -> None:
            if self._refused(model, rest[1] if len(rest) > 1 else "main"):
                return
            files = sorted(hub.models[model].iterdir())
            if rest[:1] == ["tree"]:
                listed = [
                    {
                        "type": "file",
                        "path": one.name,
                        "size": one.stat().st_size,
                        "oid": _etag(one),
                    }
                    for one in files
                ]
                self._json(listed)
            else:
                names = [{"rfilename": one.name} for one in files]
                self._json({"id": model, "sha": SHA, "siblings": names})

        def _file(self, model: str, revision: str, name: str) -> None:
            if self._refused(model, revision):
                return
            if model in hub.gated:  # what it holds is told to all
                self._fault(hub.gated[model], "GatedRepo")
                return
            path = hub.models[model] / name
            if not path.is_file():
                self._fault(404, "EntryNotFound")
                return
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("ETag", f'"{_etag(path)}"')
            self.send_header("X-Repo-Commit", SHA)
            self._end(data)

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

        def _end(self, data: bytes) -> None:
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    return Handler


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
