"""Sound on its way to words: jobs for the transcriber, one at a time, the urgent ones first."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

from devices.audio.pcm import Sound
from devices.listening.endpointing import Hint
from devices.listening.speech_events import SpeechEnded
from devices.listening.whisper import Transcriber, Transcript
from devices.listening.wording import LocalAgreement

logger = logging.getLogger(__name__)

MAX_WAITING = 4  # finished utterances that wait for the transcriber


@dataclass(slots=True, eq=False)
class Utterance:
    """One utterance on its way to its words."""

    started_ns: int
    hint: Hint = "unknown"  # of the words
    asked: bool = False  # they are a question with its mark
    chance: float | None = None  # that it is over, by the voice; None: not asked in this pause
    agreement: LocalAgreement = field(default_factory=LocalAgreement)
    partial_ns: int = 0  # up to where it was transcribed
    drafting: "Job | None" = None  # covers all speech so far
    ended: SpeechEnded | None = None
    ended_at_ns: int = 0  # on the clock


@dataclass(slots=True, eq=False)
class Job:
    """One run of the transcriber."""

    kind: Literal["partial", "draft", "final"]
    utterance: Utterance
    sound: Sound
    until_ns: int  # end of the speech that it covers
    heard: Transcript | None = None


OnHeard = Callable[[Job, Transcript | None], None]  # None: the transcriber failed


class JobQueue:
    """Runs jobs in `pool`; make and use it on one event loop, where `on_heard` is called too."""

    def __init__(self, transcriber: Transcriber, pool: Executor | None, on_heard: OnHeard) -> None:
        self._transcriber, self._pool, self._on_heard = transcriber, pool, on_heard
        self._waiting: deque[Job] = deque()
        self._working: asyncio.Task[None] | None = None
        self.done = 0  # transcriptions
        self.stale = 0  # drafts and partials that a newer one replaced

    @property
    def busy(self) -> bool:
        """Whether something is being transcribed."""
        return self._working is not None

    def put(self, job: Job) -> bool:
        """Queue a job: finals before drafts; False when too many finals wait.

        At most one draft or partial waits: the newest.
        """
        finals = [one for one in self._waiting if one.kind == "final"]
        if len(finals) >= MAX_WAITING:
            return False
        if job.kind != "final":
            self.stale += len(self._waiting) - len(finals)
        self._waiting = deque([*finals, job])
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())
        return True

    async def drain(self) -> None:
        """Wait until nothing waits and nothing is being transcribed."""
        while self._working is not None:
            await self._working

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()

    async def _work(self) -> None:
        try:
            while self._waiting:
                job = self._waiting.popleft()
                self._on_heard(job, await self._transcribe(job))
        finally:
            self._working = None

    async def _transcribe(self, job: Job) -> Transcript | None:
        loop = asyncio.get_running_loop()
        try:
            heard = await loop.run_in_executor(self._pool, self._transcriber.transcribe, job.sound)
        except Exception:  # third-party code: the next utterance is heard all the same
            logger.exception("an utterance could not be transcribed")
            return None
        self.done += 1
        return heard
