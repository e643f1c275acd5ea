"""A search as a function that a chat model calls."""

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
