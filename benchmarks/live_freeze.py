"""How old the masks of a live session are while it is asked, by frame and by time.

    python -m benchmarks.live_freeze --json [--quick] [--clip FILE] [--seconds N] [--only ROW]

A live session with its real models, in this process; a real clip is played at 15 frames a second,
again and again, and a question comes every 8 s. `frame_p50_ms` and `frame_p95_ms` are the ages of
frames as their masks are told. That says nothing of the time in which none are told, so the others
go by time: how old, at each moment, is the newest mask there is; `stale` is the share of time in
which it is older than 300 ms. `answer_p50_s` is from a question to its end.

    rules     the embedded profile
    chat      `openai:` at a server of this benchmark that takes 3 s an answer: half of it before
              the first word, the rest between words
    NAME-in-stream   the same with the answers in the stream's own thread, as it once was
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from aiohttp import web

from benchmarks.report import emit
from foveal.config.schema import Config
from foveal.live.live_session import LiveSession
from foveal.live.parts import LiveParts
from foveal.live.protocol.server import EndMessage, RegionsMessage, ServerMessage
from foveal.live.threads.answer_threads import AnswerThreads, Seat
from foveal.live.threads.worker import FairWorker
from foveal.setup.assistant import Models, open_models
from foveal.setup.stages import load_stages
from foveal.setup.threads import share_cores
from reasoning.generation.cancel import CancelToken
from stream.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from stream.frame import Frame, Image
from stream.timing.trace import Tracer

CLIP = Path(__file__).resolve().parents[2] / "shared" / "data" / "clips" / "vinci_ego_demo.mp4"
FPS, ROWS, CLIP_S = 15, 504, 8  # of the clip, which is played again and again
EVERY_S, STALE_MS, STEP_NS = 8.0, 300.0, 5 * NS_PER_MS
SERVER_S = 3.0  # of an answer
JOIN_S = 60.0  # for an answer that is at work at the end
QUESTIONS = ("What is this?", "What do you see?", "What colour is it?", "Where is my cup?")
WORDS = ("I ", "see ", "[a thing](300,300,700,700)", " in ", "front ", "of ", "you", ".")
GOAL = {"time_p95_ms": "<= 2 x frame_p95_ms"}


class ClipCamera:
    """Pictures at their pace, newest first: a FrameSource that drops what comes too late."""

    def __init__(self, pictures: list[Image], clock: MonotonicClock) -> None:
        self._pictures, self._clock = pictures, clock
        self._began_ns = clock.now_ns()
        self._given = -1

    async def frames(self) -> AsyncIterator[Frame]:
        """The newest picture, as soon as there is one that was not given."""
        while True:
            await self._clock.sleep_until(self._due_ns(self._given + 1))
            fresh = self.newer()
            if fresh is not None:
                yield fresh

    def newer(self) -> Frame | None:
        """The newest picture, if it was not given."""
        number = (self._clock.now_ns() - self._began_ns) * FPS // NS_PER_S
        if number <= self._given:
            return None
        self._given = number
        picture = self._pictures[number % len(self._pictures)]
        return Frame(number * NS_PER_S // FPS, self._due_ns(number), picture, "clip")

    def _due_ns(self, number: int) -> int:
        return self._began_ns + number * NS_PER_S // FPS


class InStream(AnswerThreads):
    """The peer: whoever starts an answer makes it, which is the stream's thread."""

    def start(
        self, work: Callable[[Seat], None], cancel: CancelToken, remote: bool
    ) -> threading.Thread:
        """Do it here and now."""
        work(Seat(None, cancel))
        return threading.current_thread()


@dataclasses.dataclass(slots=True)
class Told:
    """What a session told: when masks of which age came, and how long answers took."""

    clock: MonotonicClock
    masks_ns: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # told, arrival
    answers_s: list[float] = dataclasses.field(default_factory=list)

    def take(self, message: ServerMessage) -> None:
        """One message."""
        now_ns = self.clock.now_ns()
        if isinstance(message, RegionsMessage):
            self.masks_ns.append((now_ns, now_ns - message.age_ms * NS_PER_MS))
        elif isinstance(message, EndMessage):
            self.answers_s.append(message.timings_ms["turn"] / 1000)


def read_clip(path: Path) -> list[Image]:
    """The first seconds of a clip at FPS, ROWS high."""
    pictures: list[Image] = []
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            if picture.time is not None and picture.time * FPS >= len(pictures):
                image = picture.to_ndarray(format="rgb24")
                width = round(image.shape[1] * ROWS / image.shape[0])
                small = cv2.resize(image, (width, ROWS), interpolation=cv2.INTER_AREA)
                pictures.append(np.asarray(small, np.uint8))
            if len(pictures) == CLIP_S * FPS:
                break
    return pictures


def event(delta: dict[str, str], finish: str | None) -> bytes:
    """One event of a streamed chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


@contextlib.contextmanager
def slow_server() -> Iterator[str]:
    """A chat server that takes its time; its URL."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # it was stopped
            await asyncio.sleep(SERVER_S / 2)
            for word in WORDS:
                await response.write(event({"content": word}, None))
                await asyncio.sleep(SERVER_S / 2 / len(WORDS))
            await response.write(event({}, "stop") + b"data: [DONE]\n\n")
        return response

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)


async def live(
    config: Config, models: Models, pictures: list[Image], seconds: float, in_stream: bool
) -> tuple[Told, int, int]:
    """A session with a question every so often: what it told, from when to when."""
    clock = MonotonicClock()
    told, make = Told(clock), load_stages(config, models)
    worker, pool = FairWorker(), ThreadPoolExecutor(1)
    answers = InStream(clock) if in_stream else AnswerThreads(clock)
    parts = LiveParts(lambda: make(Tracer()), worker.lane(), answers, pool, pool, config.session)
    session = LiveSession(parts, told.take, clock)
    watching = asyncio.create_task(session.watch(ClipCamera(pictures, clock)))
    try:
        session.ask(QUESTIONS[0])  # warms up: models are read, something is followed
        while not told.answers_s:
            await clock.sleep_until(clock.now_ns() + NS_PER_S // 10)
        told.answers_s.clear()
        began_ns = clock.now_ns()
        for number in range(max(1, int(seconds / EVERY_S))):
            await clock.sleep_until(began_ns + round((number + 0.5) * EVERY_S * NS_PER_S))
            session.ask(QUESTIONS[number % len(QUESTIONS)])
        await clock.sleep_until(began_ns + round(seconds * NS_PER_S))
        return told, began_ns, clock.now_ns()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await session.close()
        await asyncio.to_thread(answers.join, JOIN_S)
        worker.close()
        await asyncio.to_thread(worker.join, JOIN_S)  # the frame in work
        pool.shutdown()


def figures(told: Told, began_ns: int, ended_ns: int) -> dict[str, float | None]:
    """Metrics of one row."""
    during = [(at, arrival) for at, arrival in told.masks_ns if began_ns <= at <= ended_ns]
    by_frame = np.array([at - arrival for at, arrival in during]) / NS_PER_MS
    by_time = ages_by_time(told.masks_ns, began_ns, ended_ns)
    return {
        **{f"frame_p{p}_ms": round(float(np.percentile(by_frame, p)), 1) for p in (50, 95)},
        **{f"time_p{p}_ms": round(float(np.percentile(by_time, p)), 1) for p in (50, 95)},
        "time_max_ms": round(float(by_time.max()), 1),
        "stale": round(float((by_time > STALE_MS).mean()), 4),
        "used_fps": round(len(during) * NS_PER_S / (ended_ns - began_ns), 1),
        "answers": len(told.answers_s),
        "answer_p50_s": round(float(np.median(told.answers_s)), 2) if told.answers_s else None,
    }


def ages_by_time(
    masks_ns: list[tuple[int, int]], began_ns: int, ended_ns: int
) -> npt.NDArray[np.float64]:
    """Age in ms of the newest mask at moments 5 ms apart; masks are (told, arrival), in order."""
    told = np.array([at for at, _ in masks_ns])
    newest = np.maximum.accumulate(np.array([arrival for _, arrival in masks_ns]))
    moments = np.arange(began_ns, ended_ns, STEP_NS)
    latest = np.searchsorted(told, moments, side="right") - 1
    return np.asarray((moments - newest[np.maximum(latest, 0)]) / NS_PER_MS, np.float64)


def main() -> int:
    """Run and print; 0 when the goal is met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--quick", action="store_true", help="16 s each")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--data", type=Path, help="unused: one clip is played")
    parser.add_argument("--seconds", type=float, help="of each row")
    parser.add_argument("--only", action="append", metavar="ROW", help="may be repeated")
    args = parser.parse_args()
    seconds = args.seconds or (16.0 if args.quick else 90.0)
    share_cores()
    config, pictures, results = Config(), read_clip(args.clip), dict[str, dict[str, float | None]]()
    models = open_models(config)
    with slow_server() as url:
        chat = dataclasses.replace(config.reasoning, model=f"openai:{url}#tiny")
        chosen = {"rules": config, "chat": dataclasses.replace(config, reasoning=chat)}
        for name, one in chosen.items():
            for row, in_stream in ((name, False), (f"{name}-in-stream", True)):
                if not args.only or row in args.only:
                    run = live(one, models, pictures, seconds, in_stream)
                    results[row] = figures(*asyncio.run(run))
    ours = [row for name, row in results.items() if name in chosen]
    met = all((row["time_p95_ms"] or 0) <= 2 * (row["frame_p95_ms"] or 0) for row in ours)
    emit("live_freeze", results, GOAL, met, f"{seconds:g} s a row, a question every {EVERY_S:g} s")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
