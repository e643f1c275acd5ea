"""Questions as they come in, answers as they go out, and the device both belong to. Pure."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

from devices.mqtt.homie import HomieDevice, HomieNode, HomieProperty, decode_text, parse_json
from stream.errors import ConfigError, PromptError
from stream.events import MAX_QUESTION_CHARS, NetworkType, ThermalState

MAX_ID = 64  # characters

ASSISTANT, DEVICE, GLASSES, SETTINGS = "assistant", "device", "glasses", "settings"
THERMAL, NETWORKS = get_args(ThermalState), get_args(NetworkType)


@dataclass(frozen=True, slots=True)
class MqttQuestion:
    """One question from the broker. `id` comes back with the answer; "" when none was given.

    `session` names the one that is asked; "" where there is only one.
    """

    text: str
    id: str = ""
    point: tuple[float, float] | None = None  # shares 0..1 of the picture's width and height
    session: str = ""


def foveal_device(
    device_id: str = "foveal", name: str = "Foveal", settings: Sequence[HomieProperty] = ()
) -> HomieDevice:
    """The device that the bridge speaks for; `settings` become its settable node."""
    for one in settings:
        if not one.settable or not one.retained:
            raise ConfigError(f"expected setting {one.id} to be settable and retained")
    assistant = (
        HomieProperty("ask", "Ask", "string", settable=True, retained=False),
        HomieProperty("answer", "Answer", "json"),
        HomieProperty("recent", "Recent answers", "json"),
        HomieProperty("busy", "Answering", "boolean"),
    )
    state = (
        HomieProperty("battery", "Battery", "integer", "0:100", "%"),
        HomieProperty("charging", "Charging", "boolean"),
        HomieProperty("temperature", "Temperature", "float", unit="°C"),
        HomieProperty("camera", "Camera in use", "boolean"),
        HomieProperty("sessions", "Sessions", "integer", "0:"),
        HomieProperty("dropped", "Messages dropped", "integer", "0:"),
    )
    glasses = (
        HomieProperty("battery", "Battery of the glasses", "integer", "0:100", "%"),
        HomieProperty("charging", "Glasses charging", "boolean"),
        HomieProperty("thermal", "Temperature of the glasses", "enum", ",".join(THERMAL)),
        HomieProperty("network", "Network of the glasses", "enum", ",".join(NETWORKS)),
    )
    nodes = [
        HomieNode(ASSISTANT, "Assistant", assistant),
        HomieNode(DEVICE, "Device", state),
        HomieNode(GLASSES, "Glasses", glasses),
    ]
    if settings:
        nodes.append(HomieNode(SETTINGS, "Settings", tuple(settings)))
    return HomieDevice(device_id, name, tuple(nodes))


def parse_question(payload: bytes) -> MqttQuestion:
    """A question: plain text, or a JSON object with `text` and if need be `id`, `point`, `session`.

    Raises PromptError for anything else.
    """
    try:
        text = decode_text(payload).strip()
        fields = parse_json(text) if text.startswith("{") else {"text": text}
    except ConfigError as error:
        raise PromptError(f"not a question: {error}") from error
    unknown = sorted(set(fields) - {"text", "id", "point", "session"})
    if unknown:
        names = ", ".join(name[:20] for name in unknown[:3])
        raise PromptError(
            f"expected text, id, point and session in a question, got {names!r} as well"
        )
    words = _words(fields.get("text"), MAX_QUESTION_CHARS, "text")
    if not any(char.isalnum() for char in words):
        raise PromptError(f"expected a question with words, got {words[:40]!r}")
    return MqttQuestion(
        words,
        _words(fields["id"], MAX_ID, "id") if "id" in fields else "",
        _point(fields["point"]) if fields.get("point") is not None else None,
        _words(fields["session"], MAX_ID, "session") if "session" in fields else "",
    )


def answer_payload(ask: MqttQuestion, body: Mapping[str, Any]) -> str:
    """A finished answer: `body` is its `text` and whatever else JSON can hold."""
    return json.dumps({"id": ask.id, "question": ask.text, **body}, ensure_ascii=False)


def refusal_payload(ask: MqttQuestion, reason: str) -> str:
    """The answer to a question that got none."""
    refusal = {"id": ask.id, "question": ask.text, "text": "", "error": reason}
    return json.dumps(refusal, ensure_ascii=False)


def readable_parts(payload: bytes) -> MqttQuestion:
    """The id and the words of what is no question, so that its sender knows it again; "" where
    they cannot be read either.
    """
    try:
        fields = parse_json(decode_text(payload).strip())
    except ConfigError:
        return MqttQuestion("")
    known = dict.fromkeys(("text", "id"), "")
    for name, most in (("text", MAX_QUESTION_CHARS), ("id", MAX_ID)):
        with suppress(PromptError, AttributeError):  # a list has no fields
            known[name] = _words(fields.get(name), most, name)
    return MqttQuestion(known["text"], known["id"])


def _words(value: Any, most: int, what: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise PromptError(f"expected 1 to {most} characters as {what}, got {str(value)[:40]!r}")
    if not value.replace("\n", " ").replace("\t", " ").isprintable():
        raise PromptError(f"expected printable characters as {what}, got {value[:40]!r}")
    return value.strip()


def _point(value: Any) -> tuple[float, float]:
    if isinstance(value, list) and len(value) == 2:
        x, y = value
        if all(type(share) in (int, float) and 0 <= share <= 1 for share in (x, y)):
            return float(x), float(y)
    raise PromptError(f"expected point as [x, y], each 0 to 1, got {str(value)[:40]!r}")
