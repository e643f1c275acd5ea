"""Answers beside the stream: masks go on, and an answer can be stopped or given up at any time."""

import asyncio
import threading
from typing import Any

import pytest

from foveal.live.live_session import LiveSession
from foveal.live.parts import LiveParts
from foveal.session.stages import Stages
from reasoning.generation.conversation import Assistant
from reasoning.generation.decoding import SearchDecoder
from reasoning.generation.protocol import SegmentingLMM
from reasoning.segmenting.box_to_mask import SceneGrounder
from reasoning.vlm.openai_client import ChatClient
from reasoning.vlm.openai_vlm import ChatVlm
from stream.clock import NS_PER_S, MonotonicClock
from stream.events import TokenStep
from tests.doubles.perception import FakeScene
from tests.doubles.reasoning import Mention, ScriptedLMM, ScriptedSearcher, ScriptState
from tests.foveal.live.live_rig import CUP, LiveRig, QueueSource, make_stages, until
from tests.reasoning.vlm.chat_server import Raw, chat_server
from tests.reasoning.vlm.wire_shapes import chunk, events

WORDS = ("one ", "two ", "three ", "four")
SOON_S = 10.0  # in which an answer that is stopped must be over: half of what a token may take


class SteppedLMM(ScriptedLMM):
    """Writes a token whenever it is let."""

    def __init__(self, *turns: Any, remote: bool = False) -> None:
        super().__init__(*turns)
        self.remote = remote
        self.let = threading.Semaphore(0)

    def step(self, state: ScriptState, may_search: bool) -> TokenStep:
        self.let.acquire(timeout=20)
        return super().step(state, may_search)


def stages(lmm: SegmentingLMM[Any], patience_s: float = 20.0) -> Stages:
    made = make_stages()
    assistant = Assistant(lmm, SearchDecoder(ScriptedSearcher()), patience_s)
    return Stages(made.selector, made.backbone, made.masklets, made.reader, assistant, made.tracer)


async def frames_go_on(rig: LiveRig, source: QueueSource, start_ms: int, count: int = 5) -> int:
    """That frames get their masks now; the time after them."""
    shown = len(rig.of("regions"))
    times = range(start_ms, start_ms + 100 * count, 100)
    source.put(*times)
    await until(lambda: len(rig.of("regions")) == shown + count)
    return times.stop


async def watching(rig: LiveRig) -> tuple[QueueSource, "asyncio.Task[bool]"]:
    source = QueueSource()
    source.put(0)
    task = asyncio.create_task(rig.live.watch(source))
    await rig.until("regions")
    return source, task


async def ask(rig: LiveRig, source: QueueSource, at_ms: int, text: str = "What?") -> None:
    started = len(rig.of("started"))
    rig.live.ask(text)
    source.put(at_ms)
    await rig.until("started", started + 1)


async def test_frames_of_the_own_session_go_on_while_it_gets_its_answer() -> None:
    lmm = SteppedLMM([*WORDS, Mention(" cup", CUP)])
    async with LiveRig(lambda: stages(lmm)) as rig:
        source, task = await watching(rig)
        await ask(rig, source, 100)
        now_ms = await frames_go_on(rig, source, 200)
        for count in range(1, 5):
            lmm.let.release()
            await rig.until("token", count)
            now_ms = await frames_go_on(rig, source, now_ms)
        assert not rig.of("end")
        lmm.let.release(2)
        end = await rig.until("end")
        assert end["pts_ms"] <= 100 and end["text"] == "one two three four cup"
        await frames_go_on(rig, source, now_ms)
        assert [one["track_id"] for one in rig.of("regions")[-1]["regions"]] == [1]
        assert [one["track_id"] for one in end["spans"]] == [1]
        source.queue.put_nowait(None)
        await task


async def test_answers_of_two_sessions_are_made_side_by_side() -> None:
    lmm = SteppedLMM(WORDS)
    async with LiveRig(lambda: stages(lmm)) as one, LiveRig(lambda: stages(lmm)) as two:
        for rig in (one, two):  # one server's
            rig.live._parts = LiveParts(
                lambda: stages(lmm), rig.worker.lane(), one.answers, rig.pool, rig.pool
            )
            rig.live._talk.parts = rig.live._parts
        sources = [await watching(rig) for rig in (one, two)]
        for rig, (source, _) in zip((one, two), sources, strict=True):
            await ask(rig, source, 100)
        lmm.let.release(7)
        await until(lambda: len(one.of("token")) + len(two.of("token")) == 7)
        assert min(len(one.of("token")), len(two.of("token"))) == 3
        lmm.let.release(10)
        for rig, (source, task) in zip((one, two), sources, strict=True):
            assert (await rig.until("end"))["text"] == "one two three four"
            source.queue.put_nowait(None)
            await task


@pytest.mark.parametrize("how", ["question", "stop", "forget"])
async def test_an_answer_ends_at_its_next_token(how: str) -> None:
    lmm = SteppedLMM(WORDS, ["Yes."])
    async with LiveRig(lambda: stages(lmm)) as rig:
        source, task = await watching(rig)
        await ask(rig, source, 100)
        lmm.let.release()
        await rig.until("token")
        if how == "question":
            rig.live.ask("And that?")
        elif how == "stop":
            rig.live.stop_speaking()
        else:
            rig.live.renew()
            source.put(150)
        async with asyncio.timeout(SOON_S):
            refused = await rig.until("refused")
        assert (refused["turn"], refused["cause"]) == (1, "stopped")
        lmm.let.release(10)
        await frames_go_on(rig, source, 200)
        await until(lambda: rig.live.waiting == 0)
        assert [one["text"] for one in rig.of("end")] == (["Yes."] if how == "question" else [])
        assert [data["text"] for data in rig.of("token") if data["turn"] == 1] == ["one "]
        rig.live.ask("Again?")  # what was cut off is no part of the conversation
        source.put(900, 1000)
        await rig.until("end", len(rig.of("end")) + 1)
        history = lmm.states[-1].prompt.history
        assert [turn.answer for turn in history] == (["Yes."] if how == "question" else [])
        source.queue.put_nowait(None)
        await task


async def test_an_answer_without_a_sign_of_life_is_given_up_and_told() -> None:
    lmm = SteppedLMM(WORDS, ["Yes."], remote=True)
    async with LiveRig(lambda: stages(lmm, patience_s=0.3)) as rig:
        source, task = await watching(rig)
        await ask(rig, source, 100)
        refused = await rig.until("refused")
        assert refused["cause"] == "question"
        assert refused["reason"] == "no answer came of scripted within 0.3 s"
        await ask(rig, source, 200)
        lmm.let.release(20)
        await rig.until("end")
        source.queue.put_nowait(None)
        await task


async def test_a_session_that_ends_stops_its_answer() -> None:
    lmm = SteppedLMM(WORDS)
    async with LiveRig(lambda: stages(lmm)) as rig:
        source, task = await watching(rig)
        await ask(rig, source, 100)
        lmm.let.release()
        await rig.until("token")
        async with asyncio.timeout(SOON_S):
            await rig.live.close("the server is shutting down")
        lmm.let.release()
        assert await asyncio.to_thread(rig.answers.join, SOON_S)
        assert not rig.of("end") and len(rig.of("token")) == 1
        source.put(200)
        await task


def test_model_servers_are_asked_beside_all_others() -> None:
    assert ChatVlm.remote and not ScriptedLMM.remote


# A real client and a real server, which hangs.


def stalled(words: int) -> Raw:
    """A stream of so many words, and then nothing more."""
    chunks = [chunk("tiny", {"content": f"word{number} "}) for number in range(words)]
    return Raw(events(*chunks, done=False), then="stall")


def chat(client: ChatClient) -> ChatVlm:
    return ChatVlm(client, SceneGrounder(FakeScene([CUP])))


@pytest.mark.parametrize("words", [0, 3], ids=["says nothing", "stalls in the middle"])
async def test_a_hanging_server_costs_its_own_question_alone(words: int) -> None:
    with chat_server([stalled(words), stalled(words)]) as (client, server):
        lmm = chat(client)
        async with LiveRig(lambda: stages(lmm)) as rig, LiveRig() as other:
            source, task = await watching(rig)
            beside, other_task = await watching(other)
            await ask(rig, source, 100)
            await until(lambda: server.requests and len(rig.of("token")) >= words - 1)
            now_ms = await frames_go_on(rig, source, 200)
            await ask(other, beside, 100)
            await other.until("end")
            async with asyncio.timeout(SOON_S):
                rig.live.ask("And that?")
                await rig.until("refused")
            assert rig.of("refused")[0]["cause"] == "stopped"
            now_ms = await frames_go_on(rig, source, now_ms)
            await rig.until("started", 2)
            async with asyncio.timeout(SOON_S):
                await rig.live.close("the server is shutting down")
            assert await asyncio.to_thread(rig.answers.join, SOON_S)  # the reads were broken off
            assert await asyncio.to_thread(server.gone.wait, SOON_S)
            for ending, one in ((source, task), (beside, other_task)):
                ending.queue.put_nowait(None)
                await one


async def test_a_server_that_hangs_is_told_to_the_wearer() -> None:
    with chat_server([stalled(0)]) as (client, server):
        lmm = chat(client)
        async with LiveRig(lambda: stages(lmm, patience_s=2.0)) as rig:
            began_ns = MonotonicClock().now_ns()
            source, task = await watching(rig)
            await ask(rig, source, 100)
            await until(lambda: server.requests)
            refused = await rig.until("refused")
            assert refused["reason"] == "no answer came of tiny within 2 s"
            assert MonotonicClock().now_ns() - began_ns < 30 * NS_PER_S  # not the client's limit
            assert await asyncio.to_thread(server.gone.wait, SOON_S)
            await frames_go_on(rig, source, 200)
            source.queue.put_nowait(None)
            await task


async def test_questions_wait_in_order_and_one_is_answered_at_a_time() -> None:
    lmm = SteppedLMM(["First."], ["Second."], ["Third."])
    async with LiveRig(lambda: stages(lmm)) as rig:
        source, task = await watching(rig)
        live: LiveSession = rig.live
        for text in ("a?", "b?", "c?"):  # before a frame comes: none was begun, so none is stopped
            live.ask(text)
        assert live.waiting == 3
        lmm.let.release(20)
        for time_ms in range(100, 1300, 100):
            source.put(time_ms)
            await asyncio.sleep(0.02)
        await rig.until("end", 3)
        assert [one["text"] for one in rig.of("end")] == ["First.", "Second.", "Third."]
        assert [len(state.prompt.history) for state in lmm.states] == [0, 1, 2]
        source.queue.put_nowait(None)
        await task
