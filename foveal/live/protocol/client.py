"""What clients say in a live session, and how it is read."""

import json
import unicodedata
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from foveal.live.protocol.parts import (
    VERSION,
    DeviceFacts,
    PointedQuestion,
    ProtocolMessage,
    ShareBox,
    optional,
    told,
)
from stream.bounds import Share
from stream.errors import PromptError
from stream.events import MAX_QUESTION_CHARS, NetworkType, ThermalState

MAX_MESSAGE_CHARS = 8192


def _plain(text: str) -> str:
    # Control characters would break tokenizers and terminals.
    plain = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text).strip()
    if not any(char.isalnum() for char in plain):
        raise ValueError("a question has words")
    return plain


def _sided(box: ShareBox) -> ShareBox:
    if box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    return box


def _if_valid(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


Words = Annotated[str, Field(max_length=MAX_QUESTION_CHARS), AfterValidator(_plain)]
Box = Annotated[ShareBox, AfterValidator(_sided)]
Rounded = Annotated[Share, AfterValidator(lambda share: round(share, 3))]
Lenient = WrapValidator(_if_valid)  # what is wrong is left out: the rest counts


class ClientMessage(ProtocolMessage):
    """A message to the server."""

    v: Literal[1]


class AskMessage(PointedQuestion, ClientMessage):
    """A question; what is being answered or said is cut off."""

    type: Literal["ask"] = "ask"
    text: Words = told(f"at most {MAX_QUESTION_CHARS:,} characters")
    box: Box | None = optional("[x0, y0, x1, y1] around what is meant, counts before a point")


class StopMessage(ClientMessage):
    """Be silent now."""

    type: Literal["stop"] = "stop"


class ForgetMessage(ClientMessage):
    """Start a new conversation in this session; with `last_s`, the memory forgets, too."""

    type: Literal["forget"] = "forget"
    last_s: Annotated[int, Field(ge=0, le=2**40)] | None = optional(
        "of the memory, what the last seconds hold; 0: everything in it"
    )


class RememberMessage(ClientMessage):
    """Remember what is seen, or no longer; where the server keeps a memory."""

    type: Literal["remember"] = "remember"
    on: bool = told("which of the two")


class TalkMessage(ClientMessage):
    """Push-to-talk with the client's own microphone; without one, with that of the camera."""

    type: Literal["talk"] = "talk"
    on: bool = told("down, or up")
    open_mic: bool = Field(default=False, description="listen all the time, or no longer")


class RecordMessage(ClientMessage):
    """Start recording (with a new conversation, so that it can be replayed), or stop."""

    type: Literal["record"] = "record"
    on: bool = told("start, or stop")
    keep: bool = Field(default=False, description="the recording that runs may go on for longer")


class DeviceMessage(DeviceFacts, ClientMessage):
    """What the device says of itself: one of these at least."""

    type: Literal["device"] = "device"
    battery: Annotated[Rounded | None, Lenient] = optional("charge, 0..1")
    charging: Annotated[bool | None, Lenient] = optional("whether it is being charged")
    thermal: Annotated[ThermalState | None, Lenient] = optional("how warm it is")
    network: Annotated[NetworkType | None, Lenient] = optional("what connects it")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.data():
            raise ValueError("one of battery, charging, thermal and network is told")
        return self


class ListWatchesMessage(ClientMessage):
    """What is watched for? Answered with `watches`."""

    type: Literal["watches"] = "watches"


class UnwatchMessage(ClientMessage):
    """Watch for this no longer. Standing questions begin with an `ask`."""

    type: Literal["unwatch"] = "unwatch"
    id: Annotated[int, Field(ge=0, le=2**53)] | None = optional("which one; else all")


class PingMessage(ClientMessage):
    """Is the server there? Answered with `pong`."""

    type: Literal["ping"] = "ping"
    n: Annotated[int, Field(ge=-(2**53), le=2**53)] = Field(default=0, description="comes back")


AnyClientMessage = (
    AskMessage
    | StopMessage
    | ForgetMessage
    | RememberMessage
    | TalkMessage
    | RecordMessage
    | DeviceMessage
    | ListWatchesMessage
    | UnwatchMessage
    | PingMessage
)
KINDS = ", ".join(one.model_fields["type"].default for one in get_args(AnyClientMessage))
_READER: TypeAdapter[AnyClientMessage] = TypeAdapter(
    Annotated[AnyClientMessage, Field(discriminator="type")]
)


def parse(message: object) -> AnyClientMessage:
    """What a client says; raises PromptError on anything else than docs/protocol.md describes."""
    if not isinstance(message, str) or len(message) > MAX_MESSAGE_CHARS:
        raise PromptError(f"expected JSON text of at most {MAX_MESSAGE_CHARS} characters")
    try:
        # Lone surrogates, which only Python's reader takes, become question marks.
        data = json.dumps(json.loads(message), ensure_ascii=False).encode("utf-8", "replace")
        return _READER.validate_json(data, strict=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
    except (ValueError, RecursionError) as error:
        raise PromptError(f"expected a JSON object, got: {type(error).__name__}") from error
    if not wrong["loc"]:
        raise PromptError(f'expected an object with "v": {VERSION} and a "type" of {KINDS}')
    kind, member = (*wrong["loc"], wrong["loc"][0])[:2]
    reason = wrong["msg"].removeprefix("Value error, ")
    raise PromptError(f'expected another "{member}" of {kind}: {reason}')
