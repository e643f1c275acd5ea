"""A client of OpenAI-compatible chat servers, on the `openai` package: streamed, cancelled at once.

Connections are kept and used again. A busy or failing server (429, 5xx) is asked again while no
word came, within a time limit; `Retry-After` is heeded. What a server refuses of a request (an
option that it does not know) is left out from then on. A stream without an end is a broken one.
"""

import asyncio
import concurrent.futures
import math
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import httpx2
import openai

from reasoning.generation.cancel import CancelToken
from reasoning.vlm.network_thread import NetworkThread
from reasoning.vlm.wire.endpoint import Endpoint
from reasoning.vlm.wire.sent_body import read_body
from stream.errors import BackendError
from stream.outgoing import OutgoingLog

MAX_BYTES = 8 << 20  # of one answer, on the wire
PAUSE_S, MAX_PAUSE_S = 0.5, 8.0  # before a server is asked again, doubled each time
CONNECT_S = 10.0
NO_KEY = "no-key-required"  # servers that need none ignore it
MAX_TOLD = 300  # characters of a server's own words
LIMITS = ("max_completion_tokens", "max_tokens")
NEEDED = ("messages", "stream", "n", "tools")  # without them the answer would be another one
KNOWN = (*NEEDED, *LIMITS, "temperature", "stop")  # what the package takes by name
ADVICE = {
    401: "; put a valid key into the variable that reasoning.chat.api_key_env names",
    403: "; the key may not use this model",
    404: "; is the URL's path right (most end in /v1), and is the model's name?",
    405: "; is it a chat server?",
    413: "; send smaller pictures (reasoning.chat.max_pixels)",
    429: "; it is busy, or its limit is reached",
}

Message = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called."""

    id: str
    name: str
    arguments: str  # JSON as the model wrote it


@dataclass(frozen=True, slots=True)
class Delta:
    """One streamed step: words, a finished call of a function, or the end."""

    text: str = ""
    call: ToolCall | None = None
    finish: str = ""  # stop, length, tool_calls, content_filter …: the last step has one


class ChatClient:
    """Asks one endpoint; safe from several threads."""

    def __init__(self, endpoint: Endpoint, log: OutgoingLog | None = None) -> None:
        """`log` is told of every request, before it is sent."""
        self.endpoint = endpoint
        hooks: dict[str, list[Any]] = {"response": [_bound]}
        if log is not None:
            hooks["request"] = [partial(_note, log)]
        self._warming: concurrent.futures.Future[list[str]] | None = None
        self._refused: frozenset[str] = frozenset()  # options that the server does not take
        key = os.environ.get(endpoint.api_key_env)
        # Packed bytes could unpack to more than is bounded.
        headers = {"Accept-Encoding": "identity"}
        self._api = openai.AsyncOpenAI(
            base_url=endpoint.url,
            api_key=key or NO_KEY,
            timeout=openai.Timeout(endpoint.timeout_s, connect=CONNECT_S),
            max_retries=0,
            default_headers=headers | dict(endpoint.headers),
            http_client=openai.DefaultAsyncHttpxClient(event_hooks=hooks),
        )
        self._root = endpoint.url.removesuffix("/v1")
        self._thread = NetworkThread(self._api.close)

    def complete(self, messages: Sequence[Message], count: int = 1, **options: Any) -> list[str]:
        """The words of `count` answers; options are the API's own (max_tokens, temperature …).

        Raises BackendError.
        """
        return self._thread.wait(self._complete(messages, n=count, **options))

    def stream(
        self, messages: Sequence[Message], cancel: CancelToken | None = None, **options: Any
    ) -> Generator[Delta, None, None]:
        """Words as they are made, then the functions that are to be called, then the end.

        Raises BackendError, also for a stream that breaks off; Cancelled at once when `cancel` is
        cancelled. Closing the iterator closes the request.
        """
        return self.wait_for(self._deltas(messages, **options), cancel)

    def start(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Let requests go on that nobody waits for."""
        return self._thread.start(work)

    def wait_for(
        self, deltas: AsyncGenerator[Delta, None], cancel: CancelToken | None
    ) -> Generator[Delta, None, None]:
        """Each as it comes; raises what they raise, and Cancelled at once when it is cancelled.

        Closing the iterator closes the request.
        """
        try:
            while (delta := self._thread.wait(_next(deltas), cancel)) is not None:
                yield delta
        finally:
            self._thread.start(_close(deltas))

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the server answers at a path of its own, beside /v1; without a body it is a GET.

        Raises BackendError.
        """
        url = self._root + path
        async with _told(self.endpoint):
            if body is None:
                return await self._api.get(url, cast_to=object)
            return await self._api.post(url, cast_to=object, body=body)

    async def events(
        self, path: str, body: Mapping[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What the server streams at a path of its own; raises BackendError."""
        async with _told(self.endpoint):
            streamed = await self._api.post(
                self._root + path,
                cast_to=object,
                body=body,
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )
            async with streamed:
                async for event in streamed:
                    yield event

    def warm(self, messages: Sequence[Message], limit: str) -> None:
        """Let the server read a prefix; nobody waits for it, and failures cost nothing.

        Nothing is sent while it still reads an earlier one. `limit` names the field for tokens.
        """
        if self._warming is None or self._warming.done():
            self._warming = self._thread.start(self._complete(messages, **{limit: 1}))

    async def _complete(self, messages: Sequence[Message], **options: Any) -> list[str]:
        async with _told(self.endpoint):
            made = await self._send({"messages": list(messages), **options})
            return [str(choice.message.content or "") for choice in made.choices]

    async def _deltas(
        self, messages: Sequence[Message], **options: Any
    ) -> AsyncGenerator[Delta, None]:
        calls: dict[int, ToolCall] = {}
        finish = ""
        async with _told(self.endpoint):
            chunks = await self._send({"messages": list(messages), "stream": True, **options})
            async with chunks:
                async for chunk in chunks:
                    # A chunk of figures has no choices; the first and the last may have no words.
                    for choice in chunk.choices[:1]:
                        finish = choice.finish_reason or finish
                        for part in choice.delta.tool_calls or ():
                            _add_call(calls, part)
                        if choice.delta.content:
                            yield Delta(str(choice.delta.content))
        if not finish:
            raise BackendError(
                f"expected an answer of {self.endpoint.url} with an end, but it broke off: "
                "look at the server's log, and whether it is a chat server"
            )
        for number in sorted(calls):
            yield Delta(call=calls[number])
        yield Delta(finish=finish)

    async def _send(self, body: dict[str, Any]) -> Any:
        """The server's answer as it begins; asked again while it is busy, and without what it
        refuses."""
        waited, pause = 0.0, PAUSE_S
        while True:
            try:
                return await self._create(body)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                named = self._named_in(error.response.text, body)
                if not named:
                    raise
                self._refused |= {named}
            except (openai.RateLimitError, openai.InternalServerError) as error:
                asked = _retry_after(error.response.headers)
                wait = pause if asked is None else asked
                if waited + wait > self.endpoint.retry_s:
                    raise
                await asyncio.sleep(wait)
                waited, pause = waited + wait, min(2 * pause, MAX_PAUSE_S)

    async def _create(self, body: Mapping[str, Any]) -> Any:
        taken = {name: value for name, value in body.items() if name not in self._refused}
        for limit, other in (LIMITS, LIMITS[::-1]):
            if limit in body and limit in self._refused and other not in self._refused:
                taken[other] = body[limit]
        known = {name: taken.pop(name) for name in KNOWN if name in taken}
        return await self._api.chat.completions.create(
            model=self.endpoint.model,
            extra_body={**taken, **dict(self.endpoint.extra_body)} or None,
            **known,
        )

    def _named_in(self, message: str, body: Mapping[str, Any]) -> str:
        """The option that a refusal speaks of and that can be left out."""
        given = [name for name in body if name not in (*NEEDED, *self._refused)]
        named = [name for name in given if re.search(rf"\b{name}\b", message)]
        return min(named, key=message.find, default="")


async def _close(deltas: AsyncGenerator[Delta, None]) -> None:
    """One whose next step is being cancelled ends by that, and refuses to be closed."""
    with suppress(RuntimeError):
        await deltas.aclose()


async def _next(deltas: AsyncGenerator[Delta, None]) -> Delta | None:
    return await anext(deltas, None)


@asynccontextmanager
async def _told(endpoint: Endpoint) -> AsyncIterator[None]:
    """Whatever a client's library raises, as a BackendError that says what to do."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise BackendError(
            f"expected words of {endpoint.url} within {endpoint.timeout_s:g} s, got none: the "
            "server hangs or is slow (reasoning.chat.timeout_s)"
        ) from error
    except openai.APIConnectionError as error:
        raise BackendError(
            f"expected a chat server at {endpoint.url}: {_cause(error)}; is it running there?"
        ) from error
    except openai.APIStatusError as error:
        raise BackendError(
            f"expected an answer of {endpoint.url}, got status {error.status_code}: "
            f"{_short(error.response.text)}{ADVICE.get(error.status_code, '')}"
        ) from error
    except openai.OpenAIError as error:
        raise BackendError(
            f"expected an answer of {endpoint.url}, got an error: {_short(str(error))}"
        ) from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BackendError(
            f"expected a chat completion of {endpoint.url}, got something else "
            f"({type(error).__name__}: {_short(str(error))})"
        ) from error


def _cause(error: BaseException) -> str:
    inner = error.__cause__ or error
    return f"{type(inner).__name__}: {_short(str(inner))}"


def _short(text: str) -> str:
    return " ".join(text.split())[:MAX_TOLD]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait; None where it does not say so in seconds."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


async def _note(log: OutgoingLog, request: httpx2.Request) -> None:
    """What a request holds, into the list of what left the machine."""
    words, pictures = read_body(await request.aread())
    log.add("chat", request.url.netloc.decode("ascii"), words, "sent", pictures)


async def _bound(response: httpx2.Response) -> None:
    """No answer is read without end, whatever a server sends."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """Another stream's first bytes; more of them is an error."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in self._stream:
            read += len(part)
            if read > MAX_BYTES:
                raise BackendError(f"expected an answer of at most {MAX_BYTES >> 20} MB, got more")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _add_call(calls: dict[int, ToolCall], part: Any) -> None:
    """A function call comes in pieces, told apart by their index."""
    index, function = int(part.index or 0), part.function
    before = calls.get(index, ToolCall("", "", ""))
    calls[index] = ToolCall(
        before.id or str(part.id or ""),
        before.name + str((function and function.name) or ""),
        before.arguments + str((function and function.arguments) or ""),
    )
