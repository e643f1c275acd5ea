"""Any chat model that sees pictures, behind an OpenAI-compatible server, as a SegmentingLMM.

It grounds by the boxes it writes, handed to a segmenter, and searches by tags in its words (see
reasoning/vlm/markup.py) or by function calls. Evidence goes back as a new message: the
server's prefix cache keeps what was read. What differs from server to server is in
reasoning/vlm/wire/servers.py.
"""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from perception.scene.reader import SceneView
from reasoning.generation.config import ChatConfig
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import Prompt
from reasoning.generation.tokens import IMAGE, neutralise
from reasoning.vlm.coordinates import SCALE, GroundingFormat, format_of, instructions
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.markup import PICTURE, after_search
from reasoning.vlm.openai_client import ChatClient, Delta, ToolCall
from reasoning.vlm.search_calls import RECALL_TOOL, SEARCH_TOOL, answered, called
from reasoning.vlm.tagged_stream import Grounder, TaggedLMM, TaggedState
from reasoning.vlm.wire.sent_picture import picture_part, sent_size
from reasoning.vlm.wire.servers import CONTINUE, server_of
from stream.errors import BackendError
from stream.frame import Image

logger = logging.getLogger(__name__)

MAX_REQUESTS = 8  # of one answer: a model that only searches comes to an end
NO_MORE = "No more searches are possible. Finish the answer with what you know."
GO_ON = "Go on with the sentence where it was broken off; do not repeat it."


@dataclass(slots=True, eq=False)
class ChatState(TaggedState):
    """One answer while it is made."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    deltas: Iterator[Delta] = field(default_factory=lambda: iter(()))
    said: str = ""  # what the model wrote since its last message was closed
    before: str = ""  # what it wrote and was told before that, as it is kept for later turns
    requests: int = 0
    may_search: bool = True
    waiting: ToolCall | None = None  # a call whose answer the server is owed
    read: int = 0  # characters of `said` up to the end of the call
    broken: BackendError | None = None  # why no more words come


class ChatVlm(TaggedLMM[ChatState]):
    """A SegmentingLMM over a chat server."""

    remote = True

    def __init__(
        self, client: ChatClient, grounder: Grounder, config: ChatConfig | None = None
    ) -> None:
        self._client, self.grounder = client, grounder
        self._config = config = config or ChatConfig()
        self._server = server_of(client.endpoint.url, config.server)
        self._calls = self._server.calls if config.calls == "auto" else config.calls
        self._resume = self._server.resume if config.resume == "auto" else config.resume
        self.name = client.endpoint.model
        self._format = format_of(self.name, config.grounding)

    def prefill(self, prompt: Prompt) -> ChatState:
        """Put the conversation together and have it sent with the first step."""
        state = ChatState(prompt, messages=self._conversation(prompt))
        self._send(state)
        return state

    def written(self, state: ChatState) -> str:
        """See KeepsWriting: its own words with their places, its searches and what they brought."""
        return state.before + state.said

    def _conversation(self, prompt: Prompt) -> list[dict[str, Any]]:
        """System words, what was said before as the model wrote it, picture and question."""
        messages = [self._told()]
        for turn in prompt.history:
            messages.append({"role": "user", "content": neutralise(turn.question)})
            messages.append({"role": "assistant", "content": turn.written or turn.answer})
        image = prompt.view.frame.image
        words = {
            "type": "text",
            "text": _asked(prompt, self._format, self._sent(image), self.pointed(prompt)),
        }
        messages.append({"role": "user", "content": [self._picture(image), words]})
        return messages

    def _told(self) -> dict[str, Any]:
        told = instructions(self._format, self._calls).replace(IMAGE, PICTURE)
        return {"role": "system", "content": told}

    def _picture(self, image: Image) -> dict[str, Any]:
        return picture_part(image, self._config.max_pixels, self._config.jpeg_quality)

    def _sent(self, image: Image) -> tuple[int, int]:
        return sent_size(image.shape[:2], self._config.max_pixels)

    def _send(self, state: ChatState) -> None:
        """Ask the server to go on."""
        state.requests += 1
        going_on = state.messages[-1]["role"] == "assistant"
        options = self._options(state, going_on)
        state.deltas = self._deltas(state, options)
        on = self._format.on(self._sent(state.prompt.view.frame.image))
        state.parser, state.said, state.read, state.broken = TagParser(on), "", 0, None

    def _deltas(self, state: ChatState, options: dict[str, Any]) -> Iterator[Delta]:
        """What the server goes on to write."""
        deltas = self._client.stream(state.messages, state.prompt.cancel, **options)
        if self._resume == "prefill" and state.messages[-1]["role"] == "assistant":
            return self._or_asked_to(deltas, state, options)
        return deltas

    def _or_asked_to(
        self, deltas: Generator[Delta, None, None], state: ChatState, options: dict[str, Any]
    ) -> Iterator[Delta]:
        """The same; a server that refuses to go on with an answer is asked to from then on.

        llama.cpp does so where the template thinks (its pull request 15404).
        """
        said = False
        try:
            with closing(deltas):
                for delta in deltas:
                    said = True
                    yield delta
            return
        except BackendError as error:
            if said or "prefill" not in str(error):
                raise
            logger.warning("%s; it is asked to go on by a new message", error)
        self._resume = "message"
        state.messages.append({"role": "user", "content": GO_ON})
        yield from self._client.stream(state.messages, state.prompt.cancel, **options)

    def _options(self, state: ChatState, going_on: bool) -> dict[str, Any]:
        """What goes along with the messages; only what is set."""
        config, server, may_search = self._config, self._server, state.may_search
        options: dict[str, Any] = {server.limit: config.max_tokens}
        if config.temperature is not None:
            options["temperature"] = config.temperature
        if config.stop:
            options["stop"] = list(config.stop)
        if self._calls == "tools":
            options["tools"] = [SEARCH_TOOL, *([RECALL_TOOL] if state.prompt.remembers else ())]
            options |= {} if may_search else {"tool_choice": "none"}
        elif config.constrain:
            options |= server.constrained(may_search)
        if going_on and self._resume == "prefix":
            options |= CONTINUE
        return options

    def _read_on(self, state: ChatState) -> bool:
        """Take the next delta; raises BackendError when the server fails and no words are left."""
        if state.broken is not None:
            raise state.broken
        try:
            delta = next(state.deltas, None)
        except BackendError as error:
            state.broken = error
            state.queue.extend(state.parser.close())
            return True
        if delta is None:
            return False
        if delta.finish:
            state.queue.extend(state.parser.close())
            state.broken = self._cut(delta.finish)
            return bool(state.queue) or state.broken is not None
        if delta.call is not None:
            state.queue.extend(state.parser.close())
            state.waiting = delta.call
            state.queue.append(called(delta.call))
            return True
        state.said += delta.text
        state.queue.extend(state.parser.push(delta.text))
        return True

    def _cut(self, finish: str) -> BackendError | None:
        """Why an answer that the server ended is not a whole one."""
        if finish == "length":
            return BackendError(
                f"expected an answer of at most {self._config.max_tokens} tokens, got more "
                "(reasoning.chat.max_tokens)"
            )
        if finish == "content_filter":
            return BackendError(f"the filter of {self._client.endpoint.url} ended the answer")
        return None

    def _begin_call(self, state: ChatState, call: Call, may_search: bool) -> None:
        state.may_search = may_search
        if state.waiting is None:
            state.read = after_search(state.said, call)
        if not may_search:
            self._answer_call(state, NO_MORE)

    def _answer_call(self, state: ChatState, content: str) -> None:
        """Tell the server what a call brought, and let it go on."""
        if isinstance(state.deltas, Generator):
            state.deltas.close()  # what else it was writing is not read
        said = state.said[: state.read] if state.read else state.said
        state.before += said if state.waiting is not None else said + content
        if state.requests >= MAX_REQUESTS:
            state.deltas, state.said = iter(()), ""
            return
        if state.waiting is not None:
            state.messages += answered(state.waiting, said, content)
            state.waiting = None
        elif self._resume != "message":
            self._extend(state, said + content)
        else:
            state.messages.append({"role": "assistant", "content": said})
            state.messages.append({"role": "user", "content": f"{content}\n{GO_ON}"})
        self._send(state)

    @staticmethod
    def _extend(state: ChatState, text: str) -> None:
        if state.messages[-1]["role"] == "assistant":
            state.messages[-1]["content"] += text
        else:
            state.messages.append({"role": "assistant", "content": text})


class WarmChatVlm(ChatVlm):
    """The same, and the server reads each keyframe ahead.

    The picture that was read stands before all that was said, so that what the server keeps of it
    (its prefix cache) fits whatever is asked; a newer picture comes with the question.
    """

    def read_view(self, view: SceneView, earlier: Sequence[SceneView] = ()) -> None:
        """See ReadsAhead: the server reads system words and picture, nobody waits for it."""
        first = {"role": "user", "content": [self._picture(view.frame.image)]}
        self._client.warm([self._told(), first], limit=self._server.limit)

    def _conversation(self, prompt: Prompt) -> list[dict[str, Any]]:
        messages = super()._conversation(prompt)
        if prompt.seen is None:
            return messages
        same = prompt.seen.frame is prompt.view.frame
        if not (same or self._server.many_pictures):
            return messages  # the one picture that may be sent is the asked one
        if same:
            messages[-1]["content"].pop(0)
        words = messages[1]["content"]
        parts = [{"type": "text", "text": words}] if isinstance(words, str) else words
        messages[1]["content"] = [self._picture(prompt.seen.frame.image), *parts]
        return messages


def _asked(prompt: Prompt, form: GroundingFormat, sent: tuple[int, int], codes: str) -> str:
    """The question, and what is pointed at in the model's own form on the picture as sent.

    `codes`: its mask in words, for a model that reads such.
    """
    text, (height, width) = neutralise(prompt.question.text), prompt.view.frame.size
    place = prompt.question.box or prompt.question.point
    if form.asks:
        return (
            f"{text} (I mean this region {codes}.) {form.asks}" if codes else f"{text} {form.asks}"
        )
    if place is None:
        return text
    sides = (width, height, width, height)
    thousandths = [v / side * SCALE for v, side in zip(place, sides[: len(place)], strict=True)]
    return f"{text} (I point at {form.write('this', thousandths, sent)}.)"
