"""What huggingface.co refuses, in words that say what to do: one wording for every model.

The hub's client is imported only once something was refused.
"""

import errno
from collections.abc import Iterator
from http import HTTPStatus

from stream.errors import AssetError

PAGE = "https://huggingface.co"


def refusal(name: str, error: BaseException) -> AssetError | None:
    """What to do about a model that did not come; None for an error that is none of the hub's.

    `name`: OWNER/NAME or OWNER/NAME@REVISION. Whatever an error was raised from is looked at, too:
    transformers hides the hub's answer behind an OSError of its own.
    """
    for cause in _chain(error):
        told = _told(name, cause)
        if told is not None:
            return AssetError(told)
    return None


def _told(name: str, error: BaseException) -> str | None:
    from huggingface_hub import errors

    model, _, revision = name.partition("@")
    if isinstance(error, errors.GatedRepoError):
        return (
            f"the model {name} is gated: accept its terms at {PAGE}/{model}, wait until access is "
            "granted, then `hf auth login`, or set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"expected a revision of {model}, found no {revision or 'main'!r}; see "
            f"{PAGE}/{model}/commits/main"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"expected a model of the hub, found no {model} (or it is private: `hf auth login`)"
    if isinstance(error, errors.HfHubHTTPError):
        if error.response.status_code == HTTPStatus.UNAUTHORIZED:
            return (
                f"the hub does not know the token with which {name} is asked for: `hf auth login` "
                "anew, or another HF_TOKEN"
            )
        return None
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f"the disk is full: the model {name} does not fit; free some space, or set HF_HOME to "
            "a folder on a larger disk. What has come is kept, and the next pull goes on there"
        )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised from; an error raised anew may stand behind itself."""
    passed: list[BaseException] = []
    while error is not None and not any(error is one for one in passed):
        passed.append(error)
        yield error
        error = error.__cause__ or error.__context__
