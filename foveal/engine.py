"""The loaded models of a live server, and what each session gets of them."""

from collections.abc import Callable
from dataclasses import dataclass

from devices.speech import Speaker, open_speaker
from foveal.compose import build_assistant, load_models
from foveal.config import Config
from foveal.live_ear import MakeListener
from foveal.masklets import LiveMasklets
from foveal.session import Stages
from perception.tracker import EmbeddedTracker
from stream.keyframes import KeyframeSelector
from stream.trace import Tracer


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """`make_stages` gives each session parts of its own around the shared models."""

    make_stages: Callable[[], Stages]
    speaker: Speaker | None = None
    make_listener: MakeListener | None = None  # None: questions come as text only


def load_engine(config: Config) -> Engine:
    """Load everything; raises AssetError, QueryError or ConfigError with what to do."""
    models = load_models(config.index.path, config.models.backbone_height)

    def make_stages() -> Stages:
        tracker = EmbeddedTracker(models.backbone, config.tracker)
        return Stages(
            KeyframeSelector(config.keyframes),
            models.backbone,
            LiveMasklets(tracker, config.session.max_tracks),
            models.reader,
            build_assistant(models, config.reasoning),
            Tracer(),
        )

    return Engine(make_stages, open_speaker(config.speech.backend))
