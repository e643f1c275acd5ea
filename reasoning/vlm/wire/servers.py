"""What chat servers have in common but do differently: one frozen value a kind.

Sources: vLLM's docs (features/structured_outputs, serving/openai_compatible_server), llama.cpp's
tools/server/README.md, SGLang's docs (structured outputs, OpenAI APIs), Ollama's docs/openai.md, LM
Studio's docs (OpenAI compatibility), OpenAI's API reference, transformers' `serve`.
"""

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from reasoning.generation.config import ServerName

Resume = Literal["message", "prefix", "prefill"]
Calls = Literal["tags", "tools"]
CONTINUE: Mapping[str, Any] = MappingProxyType(
    {"continue_final_message": True, "add_generation_prompt": False}
)

# Words and tags of any other kind, and well-formed searches between them, in the EBNF that
# llama.cpp calls GBNF; vLLM and SGLang (xgrammar) read the same.
GRAMMAR = """root ::= (word | search)*
word ::= [^<] | "<" [^s] | "<s" [^e]
search ::= "<search>" ("<region>" | "<picture>" | [^<>\\n]+) "</search>"
"""
NO_SEARCH = """root ::= word*
word ::= [^<] | "<" [^s] | "<s" [^e]
"""


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of server."""

    name: str
    # How an answer goes on after a search: a new message, the last message with a flag that says so
    # (prefix), or the last message without one (prefill).
    resume: Resume = "message"
    calls: Calls = "tags"
    limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    # The request's field that takes a grammar, one in another with a dot; empty: it takes none.
    grammar: str = ""
    many_pictures: bool = True  # whether a request may hold more than one

    def constrained(self, may_search: bool) -> dict[str, Any]:
        """The fields that hold a model to the tags' grammar; none where there is no such field."""
        field, _, inner = self.grammar.partition(".")
        grammar = GRAMMAR if may_search else NO_SEARCH
        return {field: {inner: grammar} if inner else grammar} if field else {}


SERVERS = {
    one.name: one
    for one in (
        Server("vllm", "prefix", grammar="structured_outputs.grammar"),
        Server("sglang", "prefix", limit="max_tokens", grammar="ebnf"),
        Server("llamacpp", "prefill", limit="max_tokens", grammar="grammar"),
        Server("ollama", "prefill", limit="max_tokens", many_pictures=False),
        Server("lmstudio", limit="max_tokens"),
        Server("openai", calls="tools"),
        Server("transformers", limit="max_tokens"),
        Server("auto"),
    )
}
PORTS = {11434: "ollama", 8080: "llamacpp", 1234: "lmstudio", 30000: "sglang"}
HOSTS = {"api.openai.com": "openai"}


def server_of(url: str, chosen: ServerName = "auto") -> Server:
    """The kind of server at a URL: as chosen, else by its host or its usual port, else a careful
    mixture that any server understands."""
    if chosen != "auto":
        return SERVERS[chosen]
    parts = urllib.parse.urlsplit(url)
    return SERVERS[HOSTS.get(parts.hostname or "") or PORTS.get(parts.port or 0, "auto")]
