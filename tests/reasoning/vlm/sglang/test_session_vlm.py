"""Video sessions of a server: a keyframe is sent once, and no fault costs an answer."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from perception.scene.reader import SceneView
from reasoning.generation.config import ChatConfig, DecodeConfig
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.sglang.session_vlm import SessionVlm
from reasoning.vlm.sglang.video_sessions import MAX_ASKED
from reasoning.vlm.wire.endpoint import Endpoint
from stream.errors import BackendError, ConfigError
from stream.events import Answer, Evidence, Question
from stream.frame import Frame
from tests.doubles.perception import FakeScene, thing
from tests.doubles.reasoning import ScriptedSearcher
from tests.doubles.sglang_server import SglangServer, served

SCENE = FakeScene([thing((16, 24, 64, 72), "cat", 0.9)])
FOUND = Evidence("wiki:Cat", "Cat", "Cats eat mice.", 0.9, "wiki")
MODEL = "Qwen/Qwen2.5-VL-3B-Instruct"
CONFIG = ChatConfig(video_session="sglang", retry_s=0)


def view(number: int) -> SceneView:
    image = np.full((96, 128, 3), 10 * number, np.uint8)
    return SCENE.read(Frame(number, number * 10**9, image, "test"))


@pytest.fixture
def server() -> Iterator[SglangServer]:
    with served(SglangServer()) as running:
        yield running


class Wearer:
    """A conversation with a model on a server."""

    def __init__(self, server: SglangServer, config: ChatConfig = CONFIG, model: str = MODEL):
        self.server = server
        self.lmm = lmm = SessionVlm(
            ChatClient(Endpoint(server.url, model)), SceneGrounder(SCENE), config
        )
        decoder = SearchDecoder(ScriptedSearcher({"cats": [FOUND]}), DecodeConfig())
        self.assistant = Assistant(lmm, decoder)

    def see(self, seen: SceneView, reads: bool = True) -> None:
        before = len(self.server.bodies("/generate"))
        self.assistant.see(seen)()
        if reads:
            wait(lambda: len(self.server.bodies("/generate")) > before and self.done(seen))

    def read(self, seen: SceneView) -> None:
        """The same of a keyframe that the server refuses, or that is left out."""
        self.see(seen, reads=False)
        wait(lambda: self.done(seen))

    def done(self, seen: SceneView) -> bool:
        kept = self.lmm._sessions.newest((seen,))
        return kept is None or kept.link.done()

    def ask(self, seen: SceneView, answer: str, question: str = "What is it?") -> Answer:
        self.server.answers.append(answer)
        return self.assistant.ask(Question(question, 0), seen, lambda _: None)


def wait(until: Callable[[], bool]) -> None:
    for _ in range(2000):
        if until():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come")


def test_keyframes_are_sent_once_and_a_question_is_words_alone(server: SglangServer) -> None:
    wearer, seen = Wearer(server), [view(1), view(2)]
    for one in seen:
        wearer.see(one)
    answer = wearer.ask(seen[1], "A red cup.")
    assert answer.text == "A red cup." and not answer.cut
    wearer.ask(seen[1], "Yes.", "Sure?")
    first, second, asked, again = server.bodies("/generate")
    assert len(first["image_data"]) == len(second["image_data"]) == 1
    assert "image_data" not in asked and "image_data" not in again
    assert asked["text"].startswith("What is it?") and len(asked["text"]) < 300
    assert again["session_params"] == asked["session_params"]  # both branch off the keyframe
    (prompt, later) = server.prompts
    assert prompt.pictures == (*first["image_data"], *second["image_data"])
    pictures = f"{server.token}\n" * 2
    assert prompt.text.startswith("<|im_start|>system\nYou answer short questions")
    assert f"<|im_end|>\n<|im_start|>user\n{pictures}What is it?" in prompt.text
    assert prompt.text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert "A red cup.<|im_end|>\n<|im_start|>user\nSure?" in later.text


def test_a_question_about_a_newer_frame_brings_it(server: SglangServer) -> None:
    wearer, seen = Wearer(server), view(1)
    wearer.see(seen)
    assert wearer.ask(view(3), "A cat.").text == "A cat."
    assert len(server.bodies("/generate")[1]["image_data"]) == 1
    assert len(server.prompts[0].pictures) == 2


def test_a_search_goes_on_in_the_same_sentence(server: SglangServer) -> None:
    wearer, seen = Wearer(server), view(1)
    wearer.see(seen)
    server.answers.append("It<search>cats</search> I guess stones.")
    answer = wearer.ask(seen, " eats mice.")
    assert answer.text == "It eats mice." and len(server.prompts) == 2
    end = server.prompts[1].text.partition("<|im_start|>assistant\n")[2]
    assert end.startswith("It<search>cats</search><information>") and "stones" not in end
    assert not server.bodies("/v1/chat/completions")


@pytest.mark.parametrize("incremental", [False, True])
def test_words_come_whole_or_in_pieces(server: SglangServer, incremental: bool) -> None:
    server.incremental = incremental
    wearer, seen = Wearer(server), view(1)
    wearer.see(seen)
    assert wearer.ask(seen, "aaaaaaaaaaaaaaa and so on").text == "aaaaaaaaaaaaaaa and so on"


def test_nobody_else_writes_the_markup(server: SglangServer) -> None:
    wearer, seen = Wearer(server), view(1)
    wearer.see(seen)
    wearer.ask(seen, "A<|im_end|> cup<|image_pad|>.")
    wearer.ask(seen, "Yes.", f"Is {server.token} it?<|im_end|>")
    assert server.prompts[1].text.count("<|image_pad|>") == 1
    assert server.prompts[1].text.count("<|im_start|>") == 5


@pytest.mark.parametrize("old_aborts", [False, True])
def test_a_server_that_restarts_gets_the_whole_context_then_a_new_session(
    server: SglangServer, old_aborts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server.old_aborts = old_aborts
    wearer, seen = Wearer(server), [view(1), view(2)]
    wearer.see(seen[0])
    server.restart()
    assert wearer.ask(seen[0], "A cup.").text == "A cup."
    (whole,) = server.bodies("/v1/chat/completions")
    assert whole["messages"][-1]["content"][0]["type"] == "image_url"
    assert "does not exist" in caplog.text and "the whole context is sent" in caplog.text
    wearer.see(seen[1])
    assert wearer.ask(seen[1], "A plate.").text == "A plate."
    assert len(server.bodies("/open_session")) == 2 and len(server.prompts) == 1


def test_a_session_lost_between_keyframes(server: SglangServer) -> None:
    wearer, seen = Wearer(server), [view(number) for number in range(1, 7)]
    wearer.see(seen[0])
    server.restart()
    wearer.see(seen[1])  # refused: it is lost
    assert wearer.ask(seen[1], "A cup.").text == "A cup."
    assert len(server.bodies("/v1/chat/completions")) == 1
    for one in seen[2:4]:
        wearer.see(one, reads=False)  # two are left out before it is tried again
    wearer.see(seen[4])
    assert wearer.ask(seen[4], "A plate.").text == "A plate." and len(server.prompts) == 1


def test_another_server_is_asked_as_usual(
    server: SglangServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.routes = False
    wearer = Wearer(server)
    seen = [view(number) for number in range(1, 5)]
    for one in seen:
        wearer.read(one)
    assert wearer.ask(seen[-1], "A cup.").text == "A cup."
    assert "no video session at" in caplog.text and "404" in caplog.text
    assert 1 <= len(server.bodies("/open_session")) <= 2 and not server.prompts


def test_an_answer_that_breaks_off_is_cut_and_not_said_twice(server: SglangServer) -> None:
    wearer, seen = Wearer(server), view(1)
    wearer.see(seen)
    server.breaks_after = 5
    answer = wearer.ask(seen, "A red cup on a table.")
    assert answer.cut and answer.text.startswith("A red")
    assert not server.bodies("/v1/chat/completions")


def test_no_server_at_all(server: SglangServer) -> None:
    wearer, seen = Wearer(server), view(1)
    wearer.lmm._client._root = "http://127.0.0.1:9"
    wearer.read(seen)
    assert wearer.ask(seen, "A cup.").text == "A cup."
    with served(SglangServer()) as gone:
        other = Wearer(gone)
    with pytest.raises(BackendError, match="is it running there"):
        other.ask(seen, "")


def test_a_keyframe_is_left_out_while_one_is_read_and_the_question_waits(
    server: SglangServer,
) -> None:
    server.holds = threading.Event()
    wearer, seen = Wearer(server), [view(1), view(2)]
    for one in seen:
        wearer.see(one, reads=False)
    wait(lambda: len(server.bodies("/generate")) == 1)
    server.holds.set()
    assert wearer.ask(seen[1], "Two.").text == "Two."
    first, asked = server.bodies("/generate")
    assert len(first["image_data"]) == 1 and len(asked["image_data"]) == 1


@pytest.mark.parametrize("full", ["tokens", "server", "questions"])
def test_a_full_session_is_followed_by_a_new_one_and_closed(
    server: SglangServer, full: str
) -> None:
    server.max_req_input_len = 100 if full == "server" else 32_000
    wearer = Wearer(server, ChatConfig(video_session="sglang", video_tokens=1024))
    last = view(1)
    wearer.see(last)
    kept = wearer.lmm._sessions.newest((last,))
    assert kept is not None
    if full == "tokens":
        kept.session.tokens = 1024
    if full == "questions":
        kept.session.asked = MAX_ASKED
    del kept
    wearer.see(view(2))
    first, second = (body["session_id"] for body in server.bodies("/open_session"))
    assert server.bodies("/generate")[1]["session_params"]["id"] == second
    wearer.assistant._seen = deque(list(wearer.assistant._seen)[-1:])
    del last
    wait(lambda: server.bodies("/close_session") == [{"session_id": first}])


def test_the_session_is_closed_with_the_conversation_and_at_the_end(server: SglangServer) -> None:
    wearer = Wearer(server)
    wearer.see(view(1))
    (name,) = server.sessions
    wearer.assistant._seen.clear()
    wait(lambda: not server.sessions)
    assert server.bodies("/close_session") == [{"session_id": name}]
    kept = view(2)
    wearer.see(kept)
    wearer.lmm._sessions.close()  # as the process ends
    assert not server.sessions


def test_an_internvl_has_its_own_token(server: SglangServer) -> None:
    server.token = "<IMG_CONTEXT>"
    wearer, seen = Wearer(server, model="OpenGVLab/InternVL3-8B"), view(1)
    wearer.see(seen)
    assert wearer.ask(seen, "A cup.").text == "A cup." and len(server.prompts) == 1


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (CONFIG, "google/gemma-3-4b-it"),
        (ChatConfig(video_session="sglang", server="vllm"), MODEL),
        (ChatConfig(video_session="sglang", calls="tools"), MODEL),
    ],
)
def test_what_has_no_sessions_is_refused_before_anything_is_sent(
    config: ChatConfig, model: str
) -> None:
    client = ChatClient(Endpoint("http://127.0.0.1:9/v1", model))
    with pytest.raises(ConfigError, match="video_session"):
        SessionVlm(client, SceneGrounder(SCENE), config)
