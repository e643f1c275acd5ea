"""A client of OpenAI-compatible chat servers (vLLM, llama.cpp, and others): plain HTTP, streamed.

Synchronous, because the decode loop is; one connection per request, with a time limit on every
read. Nothing is retried: a request that failed may have been carried out.
"""

import base64
import http.client
import json
import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2

from reasoning.vlm.endpoint import Endpoint
from stream.errors import BackendError
from stream.frame import Image

KEY_VARIABLE = "OPENAI_API_KEY"  # sent as a bearer token when it is set
MAX_BYTES = 16 << 20  # of one answer
JPEG_QUALITY = 90

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called."""

    id: str
    name: str
    arguments: str  # JSON as the model wrote it


@dataclass(frozen=True, slots=True)
class Delta:
    """One streamed step: words, or a finished call of a function."""

    text: str = ""
    call: ToolCall | None = None


class ChatClient:
    """Asks one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._parts = urllib.parse.urlsplit(endpoint.url)

    def complete(self, messages: Sequence[Message], count: int = 1, **options: Any) -> list[str]:
        """The words of `count` answers; options are the API's own (max_tokens, temperature …)."""
        with self._post({"messages": list(messages), "n": count, **options}) as response:
            body = response.read(MAX_BYTES)
        try:
            choices = json.loads(body)["choices"]
            return [str(choice["message"].get("content") or "") for choice in choices]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._strange(body, error) from error

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Delta]:
        """Words as they are made, then the functions that are to be called."""
        body = {"messages": list(messages), "stream": True, **options}
        calls: dict[int, ToolCall] = {}
        with self._post(body) as response:
            for event in _events(response):
                try:
                    delta = json.loads(event)["choices"][0]["delta"]
                    text, parts = delta.get("content"), delta.get("tool_calls") or ()
                    for part in parts:
                        _add_call(calls, part)
                except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                    raise self._strange(event.encode(), error) from error
                if text:
                    yield Delta(str(text))
        for number in sorted(calls):
            yield Delta(call=calls[number])

    @contextmanager
    def _post(self, body: Mapping[str, Any]) -> Iterator[http.client.HTTPResponse]:
        kind = (
            http.client.HTTPSConnection
            if self._parts.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = kind(
            self._parts.hostname or "", self._parts.port, timeout=self.endpoint.timeout_s
        )
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        payload = json.dumps({"model": self.endpoint.model, **body})
        try:
            path = f"{self._parts.path}/chat/completions"
            connection.request("POST", path, payload, headers)
            response = connection.getresponse()
            if response.status != 200:
                told = response.read(2000).decode("utf-8", "replace")
                raise BackendError(
                    f"expected an answer of {self.endpoint.url}, got status {response.status}: "
                    f"{told[:300]}"
                )
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(
                f"expected a chat server at {self.endpoint.url}: {type(error).__name__}: {error}"
            ) from error
        finally:
            connection.close()

    def _strange(self, body: bytes, error: Exception) -> BackendError:
        shown = body[:200].decode("utf-8", "replace")
        return BackendError(
            f"expected a chat completion of {self.endpoint.url}, got {shown!r} ({error!r})"
        )


def picture_part(image: Image) -> dict[str, Any]:
    """[H, W, 3] RGB -> a message part with the picture inside."""
    done, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise BackendError(f"expected a picture that can be coded as JPEG, got {image.shape}")
    data = base64.b64encode(coded.tobytes()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def _events(response: http.client.HTTPResponse) -> Iterator[str]:
    """The data of server-sent events up to `[DONE]`."""
    read = 0
    while True:
        line = response.readline(MAX_BYTES)
        read += len(line)
        if not line or read > MAX_BYTES:
            return
        text = line.decode("utf-8", "replace").strip()
        if not text.startswith("data:"):
            continue  # comments, other fields and the empty lines between events
        data = text.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        yield data


def _add_call(calls: dict[int, ToolCall], part: Mapping[str, Any]) -> None:
    """A function call comes in pieces, told apart by their index."""
    index = int(part.get("index", 0))
    before = calls.get(index, ToolCall("", "", ""))
    function = part.get("function") or {}
    calls[index] = ToolCall(
        before.id or str(part.get("id") or ""),
        before.name + str(function.get("name") or ""),
        before.arguments + str(function.get("arguments") or ""),
    )
