"""Lists in the order of a chat model: read, mended, and asked for over a real connection."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.verification.list_rerank import CELL, LABEL, grid, order_of, rerank
from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.wire.endpoint import Endpoint


@pytest.mark.parametrize(
    ("said", "order"),
    [
        ("[2,1,3]", (1, 0, 2)),
        ("Photograph [1] is off, so: [3, 3, 9, 0]", (2, 0, 1)),
        ("I cannot tell.", (0, 1, 2)),
        ("[]", (0, 1, 2)),
        ("", (0, 1, 2)),
    ],
)
def test_orders(said: str, order: tuple[int, ...]) -> None:
    assert order_of(said, [0, 1, 0, 2]) == order


@given(st.text(alphabet="[]0123456789, x", max_size=30), st.lists(st.integers(0, 5), min_size=1))
def test_any_answer_keeps_every_picture_once(said: str, votes: list[int]) -> None:
    assert sorted(order_of(said, votes)) == sorted(set(votes))


def test_grid() -> None:
    pictures = [np.full((20, 40, 3), 10 * n, np.uint8) for n in range(1, 4)]
    sheet = grid(pictures)
    assert sheet.shape == (2 * (CELL + LABEL), 2 * CELL, 3)
    assert (sheet[LABEL + 5, CELL + 5] == 20).all()  # the second one stands beside the first


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    """A server that always orders [2,1], and what it was sent."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            told = {"role": "assistant", "content": "[2,1]"}
            body = json.dumps(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "m",
                    "choices": [{"index": 0, "message": told, "finish_reason": "stop"}],
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"openai:http://127.0.0.1:{http.server_port}/v1#m", asked
    http.shutdown()
    thread.join()
    http.server_close()


def test_rerank_asks_with_one_picture(server: tuple[str, list[Any]]) -> None:
    url, asked = server
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 2
    assert rerank(ChatClient(Endpoint.parse(url)), "cup</search>", [0, 1, 0], pictures) == (1, 0)
    picture, words = asked[0]["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/jpeg")
    assert "1, 2, 1" in words["text"] and "</search>" not in words["text"]
