"""The error tree. Every error this project raises on purpose derives from FovealError.

* FovealError
  x SourceError       a recording or stream cannot be opened or read
  x BadFrame          one frame is unusable; the stream goes on without it
  x PromptError       a point, box, mask or phrase that cannot be used
  x AssetError        a pinned asset is missing, or its digest is wrong
  x QueryError        a search query that cannot be run
  x GrammarError      a token sequence that breaks the search grammar
  x ConfigError       a setting with a wrong name, type or value
  x ChannelClosed     put or get on a closed channel
  x DeviceError       a speaker, microphone or link to the device failed
  x OutputError       a result cannot be written where it was asked for
  x BackendError      a model server cannot be reached, or answers what cannot be understood

A message says what was expected, what came, and what to do.
"""


class FovealError(Exception):
    """Root of every error raised on purpose."""


class SourceError(FovealError):
    """A recording or stream cannot be opened or read."""


class BadFrame(FovealError):
    """One frame is unusable; the stream goes on without it."""


class PromptError(FovealError):
    """A point, box, mask or phrase that cannot be used as a prompt."""


class AssetError(FovealError):
    """A pinned asset is missing or its digest is wrong."""


class QueryError(FovealError):
    """A search query that cannot be run."""


class GrammarError(FovealError):
    """A token sequence that breaks the search grammar."""


class ConfigError(FovealError, ValueError):
    """A setting with a wrong name, type or value."""


class ChannelClosed(FovealError):
    """Put or get on a closed channel."""


class DeviceError(FovealError):
    """A speaker, microphone or link to the device failed."""


class OutputError(FovealError):
    """A result cannot be written where it was asked for."""


class BackendError(FovealError):
    """A model server cannot be reached, or answers what cannot be understood."""
