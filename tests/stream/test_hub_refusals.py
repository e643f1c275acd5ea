"""What the hub refuses is told in one wording, however deep the client hides it."""

import errno

import httpx2
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from stream.hub_refusals import refusal


def answer(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "http://hub/x"))


CASES: tuple[tuple[Exception, str], ...] = (
    (GatedRepoError("no", response=answer(403)), "gated: accept its terms at .*co/own/model, wait"),
    (RevisionNotFoundError("no", response=answer(404)), "revision of own/model, found no 'v9'"),
    (RepositoryNotFoundError("no", response=answer(404)), "found no own/model .or it is private"),
    (HfHubHTTPError("no", response=answer(401)), "does not know the token"),
    (OSError(errno.ENOSPC, "full"), "the disk is full.*HF_HOME"),
)


@pytest.mark.parametrize(("error", "told"), CASES)
def test_a_refusal_is_found_behind_other_errors(error: Exception, told: str) -> None:
    with pytest.raises(OSError, match="cannot load") as caught:
        try:
            raise error
        except Exception as inner:
            raise OSError("cannot load") from inner
    found = refusal("own/model@v9", caught.value)
    assert found is not None
    with pytest.raises(type(found), match=told):
        raise found


@pytest.mark.parametrize(
    "error", [HfHubHTTPError("no", response=answer(503)), OSError("no"), ValueError()]
)
def test_what_is_none_of_the_hubs_is_left_to_others(error: Exception) -> None:
    assert refusal("own/model", error) is None


def test_errors_that_stand_behind_each_other_come_to_an_end() -> None:
    first, second = OSError("first"), OSError("second")
    first.__cause__, second.__context__ = second, first
    assert refusal("own/model", first) is None
