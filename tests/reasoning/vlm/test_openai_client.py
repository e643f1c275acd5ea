"""The client of chat servers: every server's shape, every fault, over a real connection."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from reasoning.generation.cancel import CancelToken
from reasoning.vlm import openai_client
from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.wire.endpoint import Endpoint
from reasoning.vlm.wire.sent_picture import picture_part, sent_size
from stream.errors import BackendError, Cancelled
from tests.reasoning.vlm.chat_server import Raw, Script, chat_server
from tests.reasoning.vlm.wire_shapes import CALLS, SHAPES, VLLM, chunk, events

ASKED = [{"role": "user", "content": "What is this?"}]
BEGUN = events(chunk("m", {"content": "A red"}), done=False)
LONG = events(*[chunk("m", {"content": "word " * 1000})] * 20, done=False)  # 100 kB
OPTION_REFUSED = (
    '{"error": {"message": "Unsupported parameter: \'%s\' is not supported with this model. %s", '
    '"type": "invalid_request_error"}}'
)


def said(client: ChatClient, **options: Any) -> str:
    return "".join(delta.text for delta in client.stream(ASKED, **options))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_servers_shape_is_understood(shape: str) -> None:
    with chat_server([Raw(SHAPES[shape])]) as (client, _):
        deltas = list(client.stream(ASKED))
    assert "".join(delta.text for delta in deltas) == "A red cup."
    assert deltas[-1].finish == "stop" and all(delta.call is None for delta in deltas)


@pytest.mark.parametrize("shape", CALLS)
def test_a_function_call_is_put_together(shape: str) -> None:
    with chat_server([Raw(CALLS[shape])]) as (client, _):
        call, end = client.stream(ASKED)
    assert call.call is not None and call.call.name == "search" and call.call.id == "call_1"
    assert "cups" in call.call.arguments and end.finish == "tool_calls"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (500, "status 500: the server says no"),
        (404, "status 404.*end in /v1"),
        (401, "status 401.*api_key_env"),
        (Raw("<html>no API</html>", 404), "status 404"),
        (Raw("<html>no API</html>", headers={"Content-Type": "text/html"}), "broke off"),
        (Raw("data: garbage\n\n"), "something else"),
        (Raw("data: 17\n\n"), "something else"),
        (Raw(b"\xff\xfe\x00\x81" * 50), "(something else|broke off)"),
        (Raw('data: {"error": {"message": "out of memory"}}\n\n'), "out of memory"),
        (Raw(BEGUN), "broke off"),
        (Raw(BEGUN + "data: [DONE]\n\n"), "broke off"),
        (Raw(BEGUN, then="cut"), "expected a chat server"),
        (Raw(BEGUN, then="stall"), "within 0.5 s"),
        (Raw(then="stall"), "within 0.5 s"),
        (Raw(LONG, times=100), "at most 8 MB"),
        (Raw("x" * (1 << 20), times=10), "at most 8 MB"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_every_fault_is_told(answer: Any, told: str) -> None:
    with chat_server([answer], timeout_s=0.5, retry_s=0.0) as (client, _):
        with pytest.raises(BackendError, match=told):
            said(client)
        assert said(client) == ""  # the next question is heard


def test_words_before_a_cut_are_given() -> None:
    with chat_server([Raw(BEGUN, then="cut")]) as (client, _):
        deltas = client.stream(ASKED)
        assert next(deltas).text == "A red"
        with pytest.raises(BackendError):
            next(deltas)


def test_a_server_that_is_not_there_is_told() -> None:
    client = ChatClient(Endpoint("http://127.0.0.1:9/v1", "tiny", 1.0))
    with pytest.raises(BackendError, match="expected a chat server at .*; is it running there"):
        client.complete([])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_as_it_says(status: int) -> None:
    busy = Raw("later", status, {"Retry-After": "0.05"})
    with chat_server([busy, busy, Raw(VLLM)]) as (client, replay):
        assert said(client) == "A red cup."
        assert len(replay.requests) == 3


def test_a_server_that_asks_for_too_long_is_refused_at_once() -> None:
    busy = Raw("later", 429, {"Retry-After": "3600"})
    with (
        chat_server([busy]) as (client, replay),
        pytest.raises(BackendError, match="status 429.*busy"),
    ):
        said(client)
    assert len(replay.requests) == 1


def test_a_server_without_retry_after_is_asked_at_growing_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_client, "PAUSE_S", 0.01)
    with chat_server([503] * 20, retry_s=0.1) as (client, replay):
        with pytest.raises(BackendError, match="503"):
            said(client)
        assert len(replay.requests) == 4  # after .01, .02 and .04 s; .08 more would be too long


@pytest.mark.parametrize("status", [400, 422])
def test_an_option_that_is_refused_is_left_out_from_then_on(status: int) -> None:
    limit = OPTION_REFUSED % ("max_completion_tokens", "Use 'max_tokens' instead.")
    heat = OPTION_REFUSED % ("temperature", "")
    answers: list[Script] = [Raw(limit, status), Raw(heat, status), "A cup.", "A dish."]
    with chat_server(answers) as (client, replay):
        options: dict[str, Any] = {"max_completion_tokens": 9, "temperature": 0.0}
        assert said(client, **options) == "A cup." and said(client, **options) == "A dish."
        last = replay.requests[-1]
        assert last["max_tokens"] == 9 and "max_completion_tokens" not in last
        assert "temperature" not in last and len(replay.requests) == 4


def test_the_other_way_round_a_new_model_gets_its_own_limit() -> None:
    limit = OPTION_REFUSED % ("max_tokens", "Use 'max_completion_tokens' instead.")
    with chat_server([Raw(limit, 400), "A cup."]) as (client, replay):
        assert said(client, max_tokens=9) == "A cup."
        assert replay.requests[-1]["max_completion_tokens"] == 9


def test_what_is_refused_for_another_reason_is_told() -> None:
    answer = Raw('{"error": {"message": "no picture can be read"}}', 400)
    with (
        chat_server([answer]) as (client, replay),
        pytest.raises(BackendError, match="no picture can be read"),
    ):
        said(client, max_tokens=5)
    assert len(replay.requests) == 1


def test_connections_are_used_again() -> None:
    with chat_server(["one", "two", "three"]) as (client, replay):
        assert [said(client) for _ in range(3)] == ["one", "two", "three"]
        assert len(set(replay.peers)) == 1


def test_key_headers_and_further_fields_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3")
    more: dict[str, Any] = {"headers": {"X-Team": "one"}, "extra_body": {"top_k": 20}}
    with chat_server(["a"], api_key_env="MY_KEY", **more) as (client, replay):
        said(client, grammar="root ::= .", temperature=0.5)
        assert replay.headers[0]["Authorization"] == "Bearer s3"
        assert replay.headers[0]["X-Team"] == "one"
        body = replay.requests[0]
        assert (body["top_k"], body["grammar"], body["temperature"]) == (20, "root ::= .", 0.5)


def test_whole_answers_are_completed() -> None:
    with chat_server(["a"]) as (client, replay):
        assert client.complete(ASKED, 2, max_tokens=3) == ["a", "a"]
        assert replay.requests[0]["model"] == "tiny" and replay.requests[0]["max_tokens"] == 3


@pytest.mark.parametrize("body", ["", BEGUN])
def test_a_hanging_read_is_cancelled_at_once(body: str) -> None:
    """Before the headers, and in the middle of the answer; the server sees the client leave."""
    cancel, caught = CancelToken(), threading.Event()

    def read(client: ChatClient) -> None:
        try:
            for _ in client.stream(ASKED, cancel):
                pass
        except Cancelled:
            caught.set()

    with chat_server([Raw(body, then="stall"), "A cup."], timeout_s=60) as (client, replay):
        thread = threading.Thread(target=read, args=(client,))
        thread.start()
        while not replay.requests:
            time.sleep(0.01)
        cancel.cancel("barge-in")
        assert caught.wait(5) and replay.gone.wait(5)
        thread.join()
        assert said(client) == "A cup."


def test_waiting_for_a_busy_server_is_cancelled_at_once() -> None:
    cancel = CancelToken()
    with chat_server([Raw("later", 429, {"Retry-After": "14"})]) as (client, replay):
        timer = threading.Timer(0.2, cancel.cancel, ("barge-in",))
        timer.start()
        with pytest.raises(Cancelled, match="barge-in"):
            list(client.stream(ASKED, cancel))
        assert len(replay.requests) == 1


def test_an_answer_that_is_not_wanted_is_not_begun() -> None:
    cancel = CancelToken()
    cancel.cancel("too late")
    with (
        chat_server([Raw(then="stall")]) as (client, _),
        pytest.raises(Cancelled, match="too late"),
    ):
        list(client.stream(ASKED, cancel))


def test_leaving_a_stream_closes_it() -> None:
    with chat_server([Raw(BEGUN, then="stall")]) as (client, replay):
        deltas = client.stream(ASKED)
        next(deltas)
        deltas.close()
        assert replay.gone.wait(5)


def test_pictures_are_made_smaller_and_keep_their_shape() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    small, large = picture_part(image, 10_000), picture_part(image)
    assert len(small["image_url"]["url"]) < len(large["image_url"]["url"])
    assert sent_size((720, 1280), 720 * 1280) == (720, 1280)
    height, width = sent_size((720, 1280), 10_000)
    assert height * width <= 10_000 and width / height == pytest.approx(16 / 9, rel=0.02)
