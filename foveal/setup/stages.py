"""The composition root of a session: its configuration -> its parts."""

import logging
from typing import Protocol

from foveal.assets.hub import tell_missing, tell_unpinned
from foveal.config.schema import Config, placed
from foveal.session.masklets import LiveMasklets
from foveal.session.stages import Stages
from foveal.setup.assistant import Models, build_assistant, open_models
from foveal.setup.cutters import load_cutter
from foveal.setup.phrases import open_phrase_segmenter
from foveal.setup.trackers import open_tracker
from retrieval.search import Searcher
from stream.keyframes.selector import KeyframeSelector
from stream.timing.trace import Tracer

logger = logging.getLogger(__name__)


class MakeStages(Protocol):
    """Makes the parts of one session."""

    def __call__(self, tracer: Tracer, remembers: bool = True) -> Stages:
        """Not `remembers`: for one that may not ask the memory, where there is one."""


def load_stages(
    config: Config, models: Models | None = None, memory: Searcher | None = None
) -> MakeStages:
    """Load everything once; what comes back gives each session parts of its own around it.

    `memory` is asked of what the wearer has seen; without one nothing is.
    Raises AssetError, QueryError or ConfigError with what to do.
    """
    config = placed(config)
    for told in (tell_missing(config), tell_unpinned(config)):
        if told:
            logger.warning("%s", told)
    shared = models or open_models(config)
    limit = config.session.max_tracks  # a tracker keeps no state: sessions share it
    tracker = open_tracker(config.masklets, config.tracker, shared.backbone, limit)
    shared.reader.segment_by(open_phrase_segmenter(config.phrases))
    cutter = load_cutter(shared.backbone.device)
    # A model that cannot be loaded is told now; with the tracker, as each session asks for it.
    build_assistant(shared, config.reasoning, tracker=tracker)

    def make(tracer: Tracer, remembers: bool = True) -> Stages:
        asked = memory if remembers else None
        return Stages(
            KeyframeSelector(config.keyframes),
            shared.backbone,
            LiveMasklets(tracker, limit),
            shared.reader,
            build_assistant(shared, config.reasoning, tracker=tracker, memory=asked),
            tracer,
            cutter,
        )

    return make
