"""The wearer is heard: a listener's events become messages, questions, and silence from us."""

from concurrent.futures import Executor
from dataclasses import dataclass, field

from devices.audio.pcm import RawSound
from devices.listening.barge_in import BargeConfig, BargeIn
from devices.listening.echo import EchoConfig, EchoGuard
from devices.listening.listener import ListenConfig
from devices.listening.speech_events import (
    DraftTranscript,
    FinalTranscript,
    ListenEvent,
    PartialTranscript,
    Refused,
    SpeechEnded,
    SpeechStarted,
    Woken,
)
from foveal.config.models import EMBEDDED
from foveal.live.protocol.server import HearingMessage, TranscriptMessage
from foveal.live.speech.microphone import Ear, Listener, MakeListener
from foveal.setup.hearing import Hearing, load_hearing
from stream.clock import Clock


@dataclass(frozen=True, slots=True)
class LiveHearingConfig:
    """How the wearer is heard in a live session."""

    listen: ListenConfig = field(default_factory=ListenConfig)
    barge: BargeConfig = field(default_factory=BargeConfig)
    echo: EchoConfig = field(default_factory=EchoConfig)


class LiveHearing:
    """One wearer's microphone; a `foveal.live.speech.microphone.Listener`."""

    def __init__(
        self, hearing: Hearing, ear: Ear, clock: Clock, config: LiveHearingConfig | None = None
    ) -> None:
        config = config or LiveHearingConfig()
        self._ear = ear
        self._barge = None if ear.voice is None else BargeIn(ear.voice, config.barge)
        self._guard = None if config.echo.mode == "off" else EchoGuard(config.echo)
        if self._guard is not None and ear.voice is not None:
            ear.voice.overhear(self._guard.played)
        self._listener = hearing.listener(self._take, clock, config.listen, self._guard)

    def feed(self, pcm: RawSound, pts_ns: int, rate_hz: int = 48_000) -> None:
        """Take a block of the microphone."""
        self._listener.feed(pcm, pts_ns, rate_hz)
        if self._barge is not None:
            self._barge.tick(pts_ns)

    def press(self) -> None:
        """Push-to-talk begins."""
        self._listener.press()

    def release(self) -> None:
        """Push-to-talk ends."""
        self._listener.release()

    def pause(self) -> None:
        """No sound comes for now."""
        self._listener.pause()

    def cancel(self) -> None:
        """The microphone is gone: what it held is let go."""
        talking = self._listener.talking
        self._listener.cancel()
        if self._barge is not None:
            self._barge.leave()
        if self._guard is not None and self._ear.voice is not None:
            self._ear.voice.unhear(self._guard.played)
        if talking:
            self._ear.heard(HearingMessage(on=False))
            self._tell("", final=True)

    def _take(self, event: ListenEvent) -> None:
        action = "none" if self._barge is None else self._barge.handle(event)
        if action == "cut":
            self._ear.interrupted()
        if isinstance(event, SpeechStarted | SpeechEnded):
            self._ear.heard(HearingMessage(on=isinstance(event, SpeechStarted)))
        elif isinstance(event, PartialTranscript):
            self._tell(event.text, final=False, stable=len(event.stable))
        elif isinstance(event, DraftTranscript):
            self._tell(event.text, final=False)
        elif isinstance(event, FinalTranscript):
            self._tell(event.text, final=True)
            if action != "resume":  # else it was "uh-huh", while we spoke
                if self._ear.voice is not None:
                    self._ear.voice.waited(sum(event.timings_ns.values()))
                self._ear.asked(event.text)
        elif isinstance(event, Refused | Woken):
            self._tell("", final=True)

    def _tell(self, text: str, final: bool, stable: int | None = None) -> None:
        self._ear.heard(TranscriptMessage(text=text, final=final, stable=stable))


def listener_maker(hearing: Hearing, config: LiveHearingConfig | None = None) -> MakeListener:
    """What makes each session's listener; the models are shared."""

    def make(ear: Ear, clock: Clock) -> Listener:
        return LiveHearing(hearing, ear, clock, config)

    return make


def load_listener_maker(
    pool: Executor,
    config: LiveHearingConfig | None = None,
    device: str = "cpu",
    model: str = EMBEDDED,
) -> MakeListener:
    """Load the voice detector, and the settings' `model` of whisper on CTranslate2's `device`.

    Raises AssetError with what to do.
    """
    return listener_maker(load_hearing(pool, device=device, model=model), config)
