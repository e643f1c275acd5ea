"""The requests of SGLang's own API that a session needs.

Wire form: python/sglang/srt/entrypoints/http_server.py (`/open_session`, `/close_session`,
`/generate`, `/server_info`), managers/io_struct.py (`OpenSessionReqInput`, `GenerateReqInput`) and
session/session_controller.py of sgl-project/sglang.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from reasoning.vlm.openai_client import ChatClient, Delta
from stream.errors import BackendError

IDLE_S = 600.0  # without a request, after which a server that knows `timeout` closes a session


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server says of itself."""

    tokens: int | None = None  # of a request
    incremental: bool = False  # a streamed event holds new words alone, else all so far


@dataclass(frozen=True, slots=True)
class SglangLink:
    """A request of a session that others go on from."""

    session: str
    rid: str | None  # None: the session's beginning

    def params(self) -> dict[str, Any]:
        """`session_params` of the request that goes on from it."""
        return {"id": self.session, "rid": self.rid, "offset": 0, "replace": False}


async def limits(client: ChatClient) -> Limits:
    """What the server says; nothing where it does not."""
    try:
        told = await client.ask("/server_info")
    except BackendError:
        return Limits()
    if not isinstance(told, Mapping):
        return Limits()
    most = told.get("max_req_input_len")
    words = told.get("incremental_streaming_output", told.get("stream_output"))
    return Limits(most if isinstance(most, int) and most > 0 else None, words is True)


async def open_session(client: ChatClient, name: str, tokens: int) -> None:
    """Raises BackendError where the server opens none, or is another."""
    body = {"capacity_of_str_len": tokens, "session_id": name, "timeout": IDLE_S}
    opened = await client.ask("/open_session", body)
    if opened != name:
        raise BackendError(f"expected the session {name} to be open, got {str(opened)[:100]!r}")


async def close_session(client: ChatClient, name: str) -> None:
    """Raises BackendError."""
    await client.ask("/close_session", {"session_id": name})


async def append(
    client: ChatClient, link: SglangLink, text: str, pictures: Sequence[str]
) -> tuple[SglangLink, int]:
    """Let the server read on, without an answer: where others go on from, and the tokens so far.

    Raises BackendError.
    """
    sampling = {"temperature": 0, "max_new_tokens": 0}
    made = await client.ask("/generate", _body(link, text, pictures, sampling))
    meta = _meta(made)
    tokens = meta.get("prompt_tokens")
    return SglangLink(link.session, str(meta["id"])), tokens if isinstance(tokens, int) else 0


async def generate(
    client: ChatClient,
    link: SglangLink,
    text: str,
    pictures: Sequence[str],
    sampling: Mapping[str, Any],
    incremental: bool,
) -> AsyncGenerator[Delta, None]:
    """Words as they are made, then the end; raises BackendError, also for a stream without one."""
    before, ended = "", False
    body = {**_body(link, text, pictures, sampling), "stream": True}
    async with aclosing(client.events("/generate", body)) as events:
        async for event in events:
            meta, words = _meta(event), str(event.get("text") or "")
            new = words if incremental else words[len(before) :]
            before = words
            if new:
                yield Delta(new)
            finish = meta.get("finish_reason")
            if isinstance(finish, Mapping):
                ended = True
                yield Delta(finish=str(finish.get("type")))
    if not ended:
        raise BackendError("expected an answer with an end, but it broke off")


def _body(
    link: SglangLink, text: str, pictures: Sequence[str], sampling: Mapping[str, Any]
) -> dict[str, Any]:
    body = {"text": text, "session_params": link.params(), "sampling_params": dict(sampling)}
    return {**body, "image_data": list(pictures)} if pictures else body


def _meta(made: Any) -> Mapping[str, Any]:
    """What an answer says of itself; raises BackendError where it is none.

    A session that is gone ends its request with `abort`, with or without an HTTP status.
    """
    meta = made.get("meta_info") if isinstance(made, Mapping) else None
    if not isinstance(meta, Mapping) or "id" not in meta:
        raise BackendError(f"expected an answer with its meta_info, got {str(made)[:100]!r}")
    finish = meta.get("finish_reason")
    if isinstance(finish, Mapping) and finish.get("type") == "abort":
        raise BackendError(f"the server aborted the request: {str(finish.get('message'))[:200]}")
    return meta
