"""Any chat model that sees pictures, behind an OpenAI-compatible server, as a SegmentingLMM.

It grounds by the boxes it writes, handed to a segmenter, and searches by tags in its words (see
reasoning/vlm/markup.py) or by function calls. Evidence goes back as a new message: the
server's prefix cache keeps what was read.
"""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from perception.scene.reader import GroundedRegion, SceneView
from reasoning.generation.config import ChatConfig
from reasoning.generation.grammar import Call
from reasoning.generation.protocol import Prompt
from reasoning.generation.tokens import (
    END_SEARCH,
    IMAGE,
    REGION,
    SEARCH,
    neutralise,
)
from reasoning.vlm.coordinates import SCALE, GroundingFormat, format_of, instructions
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.openai_client import ChatClient, Delta, ToolCall, picture_part
from reasoning.vlm.tagged_stream import TaggedLMM, TaggedState

MAX_TOKENS = 400  # of one request
MAX_REQUESTS = 8  # of one answer: a model that only searches comes to an end
NO_MORE = "No more searches are possible. Finish the answer with what you know."
GO_ON = "Go on with the sentence where it was broken off; do not repeat it."

SEARCH_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Look up the thing named last (region), the picture (image), or words.",
        "parameters": {
            "type": "object",
            "properties": {
                "modality": {"type": "string", "enum": ["region", "image", "text"]},
                "query": {"type": "string", "description": "the words, for text"},
            },
            "required": ["modality"],
        },
    },
}


class BoxGrounder(Protocol):
    """Makes a region of a box (four numbers) or a point (two), in thousandths of the frame."""

    def ground(self, view: SceneView, place: Sequence[float]) -> GroundedRegion | None:
        """The region, or None when nothing is there."""


@dataclass(slots=True, eq=False)
class ChatState(TaggedState):
    """One answer while it is made."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    deltas: Iterator[Delta] = field(default_factory=lambda: iter(()))
    said: str = ""  # what the model wrote since its last message was closed
    requests: int = 0
    waiting: ToolCall | None = None  # a call whose answer the server is owed
    read: int = 0  # characters of `said` up to the end of the call


class ChatVlm(TaggedLMM[ChatState]):
    """A SegmentingLMM over a chat server."""

    remote = True

    def __init__(
        self, client: ChatClient, grounder: BoxGrounder, config: ChatConfig | None = None
    ) -> None:
        self._client, self._grounder = client, grounder
        self._config = config or ChatConfig()
        self.name = client.endpoint.model
        self._format = format_of(self.name, self._config.grounding)

    def prefill(self, prompt: Prompt) -> ChatState:
        """Put the conversation together; the first step sends it."""
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": instructions(self._format, self._config.calls)}
        ]
        for turn in prompt.history:
            messages.append({"role": "user", "content": neutralise(turn.question)})
            messages.append({"role": "assistant", "content": neutralise(turn.answer)})
        words = {"type": "text", "text": _asked(prompt, self._format)}
        picture = picture_part(prompt.view.frame.image)
        messages.append({"role": "user", "content": [picture, words]})
        state = ChatState(prompt, messages=messages)
        self._send(state)
        return state

    def _send(self, state: ChatState) -> None:
        """Ask the server to go on."""
        state.requests += 1
        options: dict[str, Any] = {
            "max_tokens": MAX_TOKENS,
            "temperature": self._config.temperature,
        }
        if self._config.calls == "tools":
            options["tools"] = [SEARCH_TOOL]
        if state.messages[-1]["role"] == "assistant":
            options |= {"continue_final_message": True, "add_generation_prompt": False}
        state.deltas = self._client.stream(state.messages, **options)
        size = state.prompt.view.frame.size
        state.parser, state.said, state.read = TagParser(self._format.on(size)), "", 0

    def _read_on(self, state: ChatState) -> bool:
        """Take the next delta; raises BackendError when the server fails."""
        delta = next(state.deltas, None)
        if delta is None:
            left = state.parser.close()
            state.queue.extend(left)
            return bool(left)
        if delta.call is not None:
            state.waiting = delta.call
            state.queue.append(_called(delta.call))
            return True
        state.said += delta.text
        state.queue.extend(state.parser.push(delta.text))
        return True

    def _region(self, state: ChatState, place: Sequence[float]) -> GroundedRegion | None:
        return self._grounder.ground(state.prompt.view, place)

    def _begin_call(self, state: ChatState, call: Call, may_search: bool) -> None:
        if state.waiting is None:
            begun = state.said.find(call.payload, state.said.find(SEARCH))
            state.read = state.said.find(END_SEARCH, begun) + len(END_SEARCH)
        if not may_search:
            self._answer_call(state, NO_MORE)

    def _answer_call(self, state: ChatState, content: str) -> None:
        """Tell the server what a call brought, and let it go on."""
        if isinstance(state.deltas, Generator):
            state.deltas.close()  # what else it was writing is not read
        said = state.said[: state.read] if state.read else state.said
        if state.requests >= MAX_REQUESTS:
            state.deltas = iter(())
            return
        if state.waiting is not None:
            function = {"name": state.waiting.name, "arguments": state.waiting.arguments}
            call = {"id": state.waiting.id, "type": "function", "function": function}
            state.messages.append(
                {"role": "assistant", "content": said or None, "tool_calls": [call]}
            )
            result = {"role": "tool", "tool_call_id": state.waiting.id, "content": content}
            state.messages.append(result)
            state.waiting = None
        elif self._config.resume == "prefix":
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


def _asked(prompt: Prompt, form: GroundingFormat) -> str:
    """The question, and what is pointed at in the model's own form."""
    text, (height, width) = neutralise(prompt.question.text), prompt.view.frame.size
    place = prompt.question.box or prompt.question.point
    if place is None:
        return text
    sides = (width, height, width, height)
    thousandths = [v / side * SCALE for v, side in zip(place, sides[: len(place)], strict=True)]
    return f"{text} (I point at {form.write('this', thousandths, (height, width))}.)"


def _called(call: ToolCall) -> Call:
    """A function call as a search; what cannot be read asks for the picture's last named thing."""
    try:
        given = json.loads(call.arguments or "{}")
        modality, query = str(given.get("modality", "text")), str(given.get("query") or "").strip()
    except (ValueError, AttributeError):
        modality, query = "text", ""
    if modality == "image":
        return Call("image", IMAGE)
    if modality == "region" or not query:
        return Call("region", REGION)
    return Call("text", neutralise(query))
