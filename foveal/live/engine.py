"""The loaded models of a live server, and what each session gets of them."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from devices.speaking.speaker import Speaker, open_speaker
from foveal.config.schema import Config, placed
from foveal.live.speech.hearing import LiveHearingConfig, load_listener_maker
from foveal.live.speech.microphone import MakeListener
from foveal.live.speech.voice import LEAD_IN
from foveal.session.memory.remember import Rememberer
from foveal.session.stages import Stages
from foveal.session.standing import StandingQuestions
from foveal.setup.assistant import open_models
from foveal.setup.processors import device_of, whisper_device
from foveal.setup.remembering import open_rememberer
from foveal.setup.stages import load_stages
from foveal.setup.standing import watches_of_all
from foveal.setup.threads import share_cores
from stream.clock import UnixClock
from stream.errors import AssetError
from stream.timing.trace import Tracer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """`make_stages` gives each session parts of its own around the shared models."""

    make_stages: Callable[[], Stages]
    speaker: Speaker | None = None
    make_listener: MakeListener | None = None  # None: questions come as text only
    lead_in: str | None = None  # said when an answer takes a while to begin
    memory: Rememberer | None = None  # of whom this server is; None: nothing is remembered
    make_guest_stages: Callable[[], Stages] | None = None  # without it; None: as the others
    close: Callable[[], None] = lambda: None  # writes what the memory still has to write
    # Standing questions of a wearer, around the parts of a session; None: there are none.
    standing: Callable[[Stages, str], StandingQuestions] | None = None


def load_engine(config: Config, hearing: LiveHearingConfig | None = None) -> Engine:
    """Load everything; raises AssetError, QueryError or ConfigError with what to do."""
    share_cores()
    standing = watches_of_all(config.standing)
    if config.memory.path is None:
        make_stages = load_stages(config)
        speaker, ears = open_speaker(config.speech.backend), _load_listeners(hearing, config)
        return Engine(lambda: make_stages(Tracer()), speaker, ears, LEAD_IN, standing=standing)
    models = open_models(placed(config))
    memory, asked = open_rememberer(config.memory, models, UnixClock())

    def close() -> None:
        asked.close()
        memory.close()

    make_stages = load_stages(config, models, asked)
    return Engine(
        lambda: make_stages(Tracer()),
        open_speaker(config.speech.backend),
        _load_listeners(hearing, config),
        LEAD_IN,
        memory,
        lambda: make_stages(Tracer(), remembers=False),
        close,
        standing,
    )


def _load_listeners(hearing: LiveHearingConfig | None, config: Config) -> MakeListener | None:
    """Hearing; None without its package or its model, which are optional."""
    try:
        pool = ThreadPoolExecutor(1, thread_name_prefix="hearing")
        ears = whisper_device(device_of(config))
        return load_listener_maker(pool, hearing, ears, config.hearing.model)
    except AssetError as error:
        logger.warning("questions can be written, not spoken: %s", error)
        return None
