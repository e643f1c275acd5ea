"""The composition root of hearing: pinned assets -> listeners; and whole recordings as speech."""

import asyncio
import logging
import sys
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from devices.audio.recorded import read_sound, sound_tracks
from devices.listening.listener import ListenConfig, SpeechListener
from devices.listening.speech_events import FinalTranscript, ListenEvent, OnListen
from devices.listening.speech_segmenter import WindowGate
from devices.listening.turn_end import SmartTurn, TurnDetector
from devices.listening.vad import SileroDetector, VoiceDetector
from devices.listening.whisper import Transcriber, WhisperTranscriber
from foveal.assets.hub import WHISPER, pinned
from foveal.assets.registry import asset_path
from foveal.config.models import EMBEDDED
from stream.clock import Clock, VirtualClock
from stream.errors import AssetError, MissingAssetError
from stream.events import Question

logger = logging.getLogger(__name__)

TURNS, TURNS_FILE = "smart-turn", "smart-turn-v3.2-cpu.onnx"


@dataclass(frozen=True, slots=True, eq=False)
class Hearing:
    """The models that hear; shared by all listeners. `pool` should have one thread."""

    detector: VoiceDetector
    transcriber: Transcriber
    pool: Executor | None = None
    turns: TurnDetector | None = None  # None: only the words tell whether a turn is over

    def listener(
        self,
        on_event: OnListen,
        clock: Clock,
        config: ListenConfig | None = None,
        gate: WindowGate | None = None,
    ) -> SpeechListener:
        """A listener for one stream; make it on its event loop."""
        return SpeechListener(
            self.detector, self.transcriber, on_event, clock, self.pool, config, gate, self.turns
        )


def load_hearing(
    pool: Executor | None = None, threads: int = 1, device: str = "cpu", model: str = EMBEDDED
) -> Hearing:
    """Voice detection and whisper, the latter on CTranslate2's `device`, cpu or cuda.

    Raises AssetError with what to do.
    """
    whisper = WhisperTranscriber(_whisper(model), threads, device=device)
    return Hearing(SileroDetector(), whisper, pool, _turns())


def _turns() -> TurnDetector | None:
    """smart-turn, where it was pulled."""
    try:
        return SmartTurn(asset_path(TURNS, TURNS_FILE))
    except MissingAssetError as error:
        logger.info("only the words tell whether a turn is over: %s", error)
        return None


def _whisper(model: str) -> Path:
    """The folder of a whisper, as `hearing.model` names it."""
    if model == EMBEDDED:
        return asset_path("whisper-tiny-en", "model.bin").parent
    name = model.partition(":")[2]
    folder = Path(pinned(name, WHISPER)).expanduser()
    if not folder.is_dir():
        raise AssetError(
            f"the speech recognition {name} is not on this machine; `foveal models pull --config "
            "PROFILE|FILE` brings it, and hearing: model: embedded is the small one"
        )
    return folder


def hear_file(
    path: Path, hearing: Hearing, config: ListenConfig | None = None, track: int = 1
) -> list[ListenEvent]:
    """Everything that is said in a sound or video file, on the virtual clock.

    Every word is waited for, so two runs give the same. `track` counts sound tracks from 1. Raises
    SourceError when there is no such track.
    """
    return asyncio.run(_hear(path, hearing, config, track))


async def _hear(
    path: Path, hearing: Hearing, config: ListenConfig | None, track: int
) -> list[ListenEvent]:
    events: list[ListenEvent] = []
    clock = VirtualClock()
    # Partial transcripts change nothing in the end.
    config = replace(config or ListenConfig(), partial_every_ns=None)
    listener = hearing.listener(events.append, clock, config)
    for pcm, pts_ns, rate in read_sound(path, track):
        clock.advance_to(pts_ns)
        listener.feed(pcm, pts_ns, rate)
        await listener.drain()
    await listener.close()
    return events


def spoken_questions(
    path: Path, hearing: Hearing, wake_phrase: str | None = None, track: int = 1
) -> list[Question]:
    """What is said in a recording, as questions asked when the speech ends.

    Times count from the first picture, as those of its frames do.
    """
    events = hear_file(path, hearing, ListenConfig(wake_phrase=wake_phrase), track)
    return [
        Question(event.text, max(0, event.ended_ns))
        for event in events
        if isinstance(event, FinalTranscript)
    ]


def tell_sound(path: Path, track: int, heard: int) -> None:
    """Say on standard error when nothing was understood, and when there are other tracks."""
    if not heard:
        print(f"nothing was said in {path} that could be understood", file=sys.stderr)
    count = sound_tracks(path)
    if count > 1:
        hint = f"{count} sound tracks, number {track} was heard; --sound-track N takes another"
        print(f"{path}: {hint}", file=sys.stderr)
