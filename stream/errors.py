"""The error tree. Every error this project raises on purpose derives from FovealError.

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


class MissingAssetError(AssetError):
    """A pinned asset was never pulled: what runs without it goes on."""


class BadRecord(FovealError):
    """One event or sight that cannot be remembered; the memory goes on without it."""


class MemoryFileError(FovealError):
    """A memory's file cannot be used: foreign, damaged, newer, or held by another writer."""


class QueryError(FovealError):
    """A search query that cannot be run."""


class GrammarError(FovealError):
    """A token sequence that breaks the search grammar."""


class ConfigError(FovealError, ValueError):
    """A setting with a wrong name, type or value."""


class MissingDeviceError(ConfigError):
    """A processor was asked for that this machine does not have."""


class ChannelClosed(FovealError):
    """Put or get on a closed channel."""


class DeviceError(FovealError):
    """A speaker, microphone or link to the device failed."""


class OutputError(FovealError):
    """A result cannot be written where it was asked for."""


class BackendError(FovealError):
    """A model server cannot be reached, or answers what cannot be understood."""


class Cancelled(FovealError):
    """An answer was stopped on purpose before its end; the message says why."""
