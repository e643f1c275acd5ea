"""A streaming assistant for wearable cameras. The public surface is what this module exports."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foveal.setup.footprint import spare_triton

if TYPE_CHECKING:
    from foveal.config.schema import Config
    from foveal.library import AnswerResult, Foveal, FrameResult, Result, open_profile
    from perception.masks.prompts import BoxPrompt, MaskPrompt, PointsPrompt
    from stream.errors import FovealError
    from stream.events import Answer, AnswerEvent, Evidence, Question, Region
    from stream.frame import Frame, Keyframe

spare_triton()  # before anything imports torch's compiler

_HOMES = {
    "foveal.library": ("AnswerResult", "Foveal", "FrameResult", "Result", "open_profile"),
    "foveal.config.schema": ("Config",),
    "perception.masks.prompts": ("BoxPrompt", "MaskPrompt", "PointsPrompt"),
    "stream.errors": ("FovealError",),
    "stream.events": ("Answer", "AnswerEvent", "Evidence", "Question", "Region"),
    "stream.frame": ("Frame", "Keyframe"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "Answer",
    "AnswerEvent",
    "AnswerResult",
    "BoxPrompt",
    "Config",
    "Evidence",
    "Foveal",
    "FovealError",
    "Frame",
    "FrameResult",
    "Keyframe",
    "MaskPrompt",
    "PointsPrompt",
    "Question",
    "Region",
    "Result",
    "open_profile",
]


def __getattr__(name: str) -> Any:
    """Imported when used: the command line and its help need none of them."""
    if name not in _HOME:
        raise AttributeError(f"module 'foveal' has no attribute {name!r}; it has {__all__}")
    return getattr(import_module(_HOME[name]), name)
