"""The loaded models of a live server, and what each session gets of them."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from devices.speaking.speaker import Speaker, open_speaker
from foveal.config.schema import Config
from foveal.live.speech.hearing import LiveHearingConfig, load_listener_maker
from foveal.live.speech.microphone import MakeListener
from foveal.live.speech.voice import LEAD_IN
from foveal.session.stages import Stages
from foveal.setup.processors import device_of, whisper_device
from foveal.setup.stages import load_stages
from foveal.setup.threads import share_cores
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


def load_engine(config: Config, hearing: LiveHearingConfig | None = None) -> Engine:
    """Load everything; raises AssetError, QueryError or ConfigError with what to do."""
    share_cores()
    make_stages = load_stages(config)
    speaker = open_speaker(config.speech.backend)
    return Engine(lambda: make_stages(Tracer()), speaker, _load_listeners(hearing, config), LEAD_IN)


def _load_listeners(hearing: LiveHearingConfig | None, config: Config) -> MakeListener | None:
    """Hearing; None without its package or its model, which are optional."""
    try:
        pool = ThreadPoolExecutor(1, thread_name_prefix="hearing")
        ears = whisper_device(device_of(config))
        return load_listener_maker(pool, hearing, ears, config.hearing.model)
    except AssetError as error:
        logger.warning("questions can be written, not spoken: %s", error)
        return None
