"""Searches as functions that a chat model calls: of what is known, of what the wearer has seen."""

import json
from typing import Any

from reasoning.generation.grammar import Call
from reasoning.generation.tokens import IMAGE, REGION, neutralise
from reasoning.vlm.openai_client import ToolCall

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

RECALL_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "recall",
        "description": "Look up what the wearer has seen, heard or asked earlier, with its time.",
        "parameters": {
            "type": "object",
            "properties": {
                "what": {"type": "string", "description": "a thing, an act, or words"},
                "by": {
                    "type": "string",
                    "enum": ["words", "region", "image"],
                    "description": "region: what looks like the thing named last",
                },
                "from": {"type": "string", "description": "earliest, as: 2 pm, yesterday noon"},
                "to": {"type": "string", "description": "latest, as: 3 pm"},
                "how": {"type": "string", "enum": ["last", "first", "count", "list", "sequence"]},
                "then": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "what came after it, in order, for a sequence",
                },
            },
            "required": ["what"],
        },
    },
}
_HOW = {
    "last": "when did I last see {}",
    "first": "when did I first see {}",
    "count": "how many times did I see {}",
    "list": "list {}",
}


def answered(call: ToolCall, said: str, content: str) -> list[dict[str, Any]]:
    """The messages of a function call and of what it brought."""
    function = {"name": call.name, "arguments": call.arguments}
    named = {"id": call.id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": said or None, "tool_calls": [named]},
        {"role": "tool", "tool_call_id": call.id, "content": content},
    ]


def called(call: ToolCall) -> Call:
    """A function call as a search; what cannot be read asks for the picture's last named thing."""
    if call.name == "recall":
        return _recalled(call)
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


def _recalled(call: ToolCall) -> Call:
    """A recall in the words of a question, which say its times and how it asks.

    What cannot be read is left out; without anything the last things are meant.
    """
    try:
        given = json.loads(call.arguments or "{}")
        by, how = str(given.get("by") or "words"), str(given.get("how") or "")
        what, start, end = (str(given.get(key) or "").strip() for key in ("what", "from", "to"))
        then = [str(one).strip() for one in given.get("then") or ()]
    except (ValueError, AttributeError, TypeError):
        return Call("text", "what happened last", memory=True)
    if by in ("image", "region"):
        return Call("image", IMAGE, True) if by == "image" else Call("region", REGION, True)
    words = _HOW.get(how, "{}").format(what) if what else "what happened"
    if start or end:
        words += f" between {start} and {end}" if start and end else f" since {start}"
        words = words if start else words.replace(" since ", f" before {end}")
    words = "; then ".join([words, *(one for one in then if one)])
    return Call("text", neutralise(words) or "what happened last", memory=True)
