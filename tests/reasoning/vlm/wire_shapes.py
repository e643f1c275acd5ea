"""Streams as servers send them, each in its own shape: what the client has to get along with.

Written after the projects' documentation and sources: vLLM (serving/openai), Ollama
(docs/openai.md), llama.cpp (tools/server), OpenAI's API reference, LM Studio's documentation,
SGLang. Every one says "A red cup." and what it adds of its own.
"""

import json
from typing import Any


def events(*chunks: dict[str, Any] | str, done: bool = True) -> str:
    """Server-sent events, ended by `[DONE]` where the server does so."""
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if done else [])])


def chunk(model: str, delta: dict[str, Any], finish: str | None = None, **more: Any) -> Any:
    """One chunk with one choice."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1780000000,
        "model": model,
        "choices": [choice],
        **more,
    }


USAGE = {"prompt_tokens": 43, "completion_tokens": 4, "total_tokens": 47}
VLLM = events(
    chunk("Qwen/Qwen3-VL-4B-Instruct", {"role": "assistant", "content": ""}),
    chunk("Qwen/Qwen3-VL-4B-Instruct", {"reasoning_content": "A cup, I think."}),
    chunk("Qwen/Qwen3-VL-4B-Instruct", {"reasoning": "Yes."}),
    chunk("Qwen/Qwen3-VL-4B-Instruct", {"content": "A red"}),
    chunk("Qwen/Qwen3-VL-4B-Instruct", {"content": " cup."}),
    chunk("Qwen/Qwen3-VL-4B-Instruct", {"content": ""}, "stop", stop_reason=None),
    {**chunk("Qwen/Qwen3-VL-4B-Instruct", {}), "choices": [], "usage": USAGE},
)
OLLAMA = events(
    chunk("qwen2.5vl:7b", {"role": "assistant", "content": "A"}, system_fingerprint="fp_ollama"),
    chunk("qwen2.5vl:7b", {"role": "assistant", "content": " red cup."}),
    chunk("qwen2.5vl:7b", {"role": "assistant", "content": ""}, "stop"),
)
LLAMACPP = events(
    chunk("gemma-3-4b.gguf", {"role": "assistant", "content": None}),
    chunk("gemma-3-4b.gguf", {"content": "A red"}),
    chunk("gemma-3-4b.gguf", {"content": " cup."}),
    chunk("gemma-3-4b.gguf", {}, "stop"),
    {
        **chunk("gemma-3-4b.gguf", {}),
        "choices": [],
        "usage": USAGE,
        "timings": {"prompt_n": 43, "predicted_n": 4, "predicted_per_second": 31.5},
    },
)
OPENAI = events(
    chunk(
        "gpt-4o-mini",
        {"role": "assistant", "content": "", "refusal": None},
        service_tier="default",
        obfuscation="x7",
    ),
    chunk("gpt-4o-mini", {"content": "A red"}, usage=None),
    chunk("gpt-4o-mini", {"content": " cup."}, usage=None),
    chunk("gpt-4o-mini", {}, "stop", usage=None),
    {**chunk("gpt-4o-mini", {}), "choices": [], "usage": USAGE},
)
LMSTUDIO = events(
    chunk("qwen2-vl-2b", {"role": "assistant", "content": "A red cup."}, stats={}),
    chunk("qwen2-vl-2b", {}, "stop"),
).replace("\n\n", "\r\n\r\n")
SGLANG = events(
    chunk("Qwen/Qwen2.5-VL-7B-Instruct", {"role": "assistant", "content": ""}, matched_stop=None),
    chunk("Qwen/Qwen2.5-VL-7B-Instruct", {"content": "A red cup.", "reasoning_content": None}),
    chunk("Qwen/Qwen2.5-VL-7B-Instruct", {"content": None, "tool_calls": None}, "stop"),
)
# Azure begins with a chunk of filter results without choices; NIM ends without `[DONE]`.
AZURE = events(
    {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []},
    chunk("gpt-4o", {"content": "A red cup."}, content_filter_results={}),
    chunk("gpt-4o", {}, "stop"),
    done=False,
)
SHAPES = {
    "vllm": VLLM,
    "ollama": OLLAMA,
    "llamacpp": LLAMACPP,
    "openai": OPENAI,
    "lmstudio": LMSTUDIO,
    "sglang": SGLANG,
    "azure": AZURE,
}


def _calling(*parts: dict[str, Any]) -> str:
    calls = (chunk("m", {"tool_calls": [{"index": 0, **part}]}) for part in parts)
    return events(*calls, chunk("m", {}, "tool_calls"))


# One function call, in pieces (OpenAI, vLLM, llama.cpp) and whole (Ollama, LM Studio).
CALLS = {
    "in pieces": _calling(
        {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": ""}},
        {"function": {"arguments": '{"modality": "te'}},
        {"function": {"arguments": 'xt", "query": "cups"}'}},
    ),
    "whole": _calling(
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "search", "arguments": '{"modality":"text","query":"cups"}'},
        }
    ),
}
