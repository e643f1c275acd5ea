"""Any chat model that sees pictures, behind an OpenAI-compatible server, as a SegmentingLMM.

It grounds by the boxes it writes, handed to a segmenter, and searches by tags in its words (see
reasoning/vlm/grounding_formats.py) or by function calls. Evidence goes back as a new message: the
server's prefix cache keeps what was read. Token ids mean nothing here, only special tokens have
their own; each streamed step is one token.
"""

import json
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from reasoning.generation.grammar import Call
from reasoning.generation.protocol import EntitySpan, Prompt
from reasoning.generation.settings import ChatConfig
from reasoning.generation.tokens import (
    END,
    END_INFORMATION,
    END_SEARCH,
    IMAGE,
    INFORMATION,
    REGION,
    SEARCH,
    ControlIds,
    neutralise,
    unbracket,
)
from reasoning.segmenting.box_to_mask import Grounder
from reasoning.vlm.grounding_formats import INSTRUCTIONS, SCALE, Named, Piece, Said, TagParser
from reasoning.vlm.openai_client import ChatClient, Delta, ToolCall, picture_part
from stream.events import Evidence, TokenStep

WORD = 0  # the id of every ordinary token
FIRST_CONTROL = 1
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


@dataclass(slots=True, eq=False)
class ChatState:
    """One answer while it is made."""

    prompt: Prompt
    messages: list[dict[str, Any]]
    deltas: Iterator[Delta] = field(default_factory=lambda: iter(()))
    parser: TagParser = field(default_factory=TagParser)
    queue: deque[Piece | str] = field(default_factory=deque)  # a str is a special token
    said: str = ""  # what the model wrote since its last message was closed
    spans: list[EntitySpan] = field(default_factory=list)
    written: int = 0
    requests: int = 0
    waiting: ToolCall | None = None  # a call whose answer the server is owed
    read: int = 0  # characters of `said` up to the end of the call
    subject: str = ""


class ChatVlm:
    """A SegmentingLMM over a chat server."""

    def __init__(
        self, client: ChatClient, grounder: Grounder, config: ChatConfig | None = None
    ) -> None:
        self._client, self._grounder = client, grounder
        self._config = config or ChatConfig()
        self.name = client.endpoint.model
        self.controls = ControlIds(FIRST_CONTROL)

    def prefill(self, prompt: Prompt) -> ChatState:
        """Put the conversation together; the first step sends it."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": INSTRUCTIONS}]
        for turn in prompt.history:
            messages.append({"role": "user", "content": neutralise(turn.question)})
            messages.append({"role": "assistant", "content": neutralise(turn.answer)})
        words = {"type": "text", "text": _asked(prompt)}
        picture = picture_part(prompt.view.frame.image)
        messages.append({"role": "user", "content": [picture, words]})
        state = ChatState(prompt, messages)
        self._send(state)
        return state

    def step(self, state: ChatState, may_search: bool) -> TokenStep:
        """The next piece of what the model streams; raises BackendError when the server fails."""
        while True:
            while state.queue:
                step = self._play(state, state.queue.popleft(), may_search)
                if step is not None:
                    return step
            if not self._read(state, may_search):
                return TokenStep(self.controls.id_of(END), END, forced=False)

    def inform(
        self, state: ChatState, evidence: Sequence[Evidence], text: str
    ) -> Sequence[TokenStep]:
        """Send what was found; `text` is `<information> … </information>`, made harmless before."""
        inner = text.removeprefix(INFORMATION).removesuffix(END_INFORMATION)
        self._answer_call(state, f"{INFORMATION}{inner}{END_INFORMATION}")
        if evidence:
            state.subject = evidence[0].title
        steps = [
            TokenStep(self.controls.id_of(INFORMATION), INFORMATION, True),
            TokenStep(WORD, inner, True),
            TokenStep(self.controls.id_of(END_INFORMATION), END_INFORMATION, True),
        ]
        state.written += sum(len(step.text) for step in steps)
        return steps

    def spans(self, state: ChatState) -> Sequence[EntitySpan]:
        """Things named with a box that holds something."""
        return state.spans

    def subject(self, state: ChatState) -> str:
        """The title found first by the last search."""
        return state.subject

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
        state.parser, state.said, state.read = TagParser(), "", 0

    def _read(self, state: ChatState, may_search: bool) -> bool:
        """Take the next delta; False at the end of the answer."""
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

    def _play(self, state: ChatState, piece: Piece | str, may_search: bool) -> TokenStep | None:
        match piece:
            case str():
                return self._write(state, piece, self.controls.id_of(piece))
            case Said(text):
                return self._write(state, unbracket(text), WORD)
            case Named(text, place):
                words = unbracket(text)
                region = self._grounder.ground(state.prompt.view, place)
                start = state.written
                step = self._write(state, words, WORD)
                if region is not None:
                    state.spans.append(EntitySpan(start, state.written, region))
                return step
            case Call():
                return self._call(state, piece, may_search)
        return None

    def _call(self, state: ChatState, call: Call, may_search: bool) -> TokenStep | None:
        """Begin a call; what the model wrote behind it is forgotten, it was a guess."""
        state.queue.clear()
        if state.waiting is None:
            begun = state.said.find(call.payload, state.said.find(SEARCH))
            state.read = state.said.find(END_SEARCH, begun) + len(END_SEARCH)
        if not may_search:
            self._answer_call(state, NO_MORE)
            return None
        if call.kind != "text":
            state.queue.append(REGION if call.kind == "region" else IMAGE)
        else:
            state.queue.append(Said(f" {neutralise(call.payload)} "))
        state.queue.append(END_SEARCH)
        return self._write(state, SEARCH, self.controls.id_of(SEARCH))

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

    @staticmethod
    def _write(state: ChatState, text: str, token: int) -> TokenStep:
        state.written += len(text)
        return TokenStep(token, text, forced=False)


def _asked(prompt: Prompt) -> str:
    """The question, and what is pointed at in the model's own coordinates."""
    text, (height, width) = neutralise(prompt.question.text), prompt.view.frame.size
    sides = (width, height, width, height)
    place = prompt.question.box or prompt.question.point
    if place is None:
        return text
    shown = ",".join(
        str(round(v / side * SCALE)) for v, side in zip(place, sides[: len(place)], strict=True)
    )
    return f"{text} (I point at {shown}.)"


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
