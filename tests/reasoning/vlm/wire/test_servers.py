"""Which server is which, and what a grammar looks like on the wire."""

import pytest

from reasoning.vlm.wire.servers import GRAMMAR, NO_SEARCH, SERVERS, server_of


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://127.0.0.1:11434/v1", "ollama"),
        ("http://host:8080/v1", "llamacpp"),
        ("http://localhost:1234/v1", "lmstudio"),
        ("http://gpu:30000/v1", "sglang"),
        ("https://api.openai.com/v1", "openai"),
        ("http://localhost:8000/v1", "auto"),  # vLLM, transformers and many others
    ],
)
def test_a_server_is_known_by_its_usual_place(url: str, name: str) -> None:
    assert server_of(url).name == name
    assert server_of(url, "vllm").name == "vllm"


def test_grammars_go_into_the_servers_own_field() -> None:
    assert SERVERS["vllm"].constrained(True) == {"structured_outputs": {"grammar": GRAMMAR}}
    assert SERVERS["llamacpp"].constrained(False) == {"grammar": NO_SEARCH}
    assert SERVERS["sglang"].constrained(True) == {"ebnf": GRAMMAR}
    assert SERVERS["openai"].constrained(True) == {}
