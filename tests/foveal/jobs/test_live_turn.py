"""A turn of a live server with large models: tokens, masks and evidence come over the protocol.

The networks are random, but for weights by which they look something up and end.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from foveal.config.models import ReasoningConfig
from foveal.config.schema import Config, SessionConfig, SpeechSettings
from foveal.live.engine import Engine
from foveal.server.app import ServeConfig
from foveal.setup.backends import load_backend
from foveal.setup.stages import load_stages
from reasoning.generation.config import ChatConfig, VlmConfig
from reasoning.segmenting.sa2va import PictureSizes
from stream.geometry import Rle, decode_mask
from stream.timing.trace import Tracer
from tests.doubles.vlm_random import look_up, save
from tests.foveal.jobs.test_segmenting_replay import make
from tests.foveal.live.live_rig import until
from tests.foveal.server.serve_rig import PeerClient, Site
from tests.reasoning.vlm.chat_server import Raw, chat_server
from tests.reasoning.vlm.wire_shapes import chunk, events

if TYPE_CHECKING:
    from foveal.setup.assistant import Models

pytestmark = pytest.mark.assets
PATIENCE_S = 90.0  # the first answer of a process is slow
NAMED = "I see [the cat](100,100,600,600)"
SEARCHED = f"{NAMED}.<search><region></search>"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    load_backend.cache_clear()


@asynccontextmanager
async def serving(models: "Models", model: str, **vlm: Any) -> AsyncIterator[PeerClient]:
    """A wearer with a camera, connected to a server on which a model answers."""
    limits = VlmConfig(device="cpu", dtype="float32", max_pixels=64 * 64, **vlm)
    config = Config(
        session=SessionConfig(max_tracks=2, seed_tracks=False),
        speech=SpeechSettings("none"),
        reasoning=ReasoningConfig(
            model=model,
            vlm=limits,
            chat=ChatConfig(grounding="thousandths", retry_s=0.0),
            patience_s=PATIENCE_S,
        ),
    )
    stages = load_stages(config, models)
    async with Site(ServeConfig(), Engine(lambda: stages(Tracer()))) as site:
        wearer = PeerClient()
        assert await wearer.connect(site) == 201
        await wearer.until("hello")
        yield wearer
        await wearer.close()


async def looked_up(wearer: PeerClient, name: str) -> None:
    """Ask about a point: the answer names a thing, whose mask goes on, and reads evidence of it."""
    wearer.say("ask", text="What is this?", point=[0.25, 0.3])
    end = await wearer.until("end", 1, PATIENCE_S)
    assert end["text"].endswith("It is a cat.") and "cut" not in end
    (span,) = end["spans"]
    assert end["text"][span["start"] : span["end"]] == name
    (search,) = end["searches"]
    assert search["kind"] == "region" and search["evidence"]
    assert wearer.of("search")[0]["refused"] is None and wearer.of("evidence")[0]["entries"]
    assert any(token["forced"] for token in wearer.of("token"))
    await until(lambda: any(_shown(wearer, span["track_id"])), PATIENCE_S)


def _shown(wearer: PeerClient, track_id: int) -> Iterator[bool]:
    """For each message of masks whether it has a masklet with a mask that is not empty."""
    for message in wearer.of("regions"):
        for one in message["regions"]:
            if one["track_id"] == track_id and one["mask"] is not None:
                mask = Rle(tuple(one["mask"]["size"]), tuple(one["mask"]["counts"]))
                yield bool(decode_mask(mask).any())


@pytest.mark.parametrize("family", ["qwen3_vl", "smolvlm"])
async def test_vision_language_models(models: "Models", family: str, tmp_path: Path) -> None:
    save(family, tmp_path / "tiny", look_up(family))
    async with serving(models, f"hf:{tmp_path / 'tiny'}", grounding="thousandths") as wearer:
        await looked_up(wearer, "the cat")


@pytest.mark.parametrize("kind", ["qwen", "samtok"])
async def test_models_with_masks_of_their_own(
    models: "Models",
    kind: str,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = partial(PictureSizes, 256, (256, 64 * 64))  # as published a picture takes a minute
    monkeypatch.setattr("reasoning.segmenting.sa2va.PictureSizes", small)
    name = make(kind, tmp_path / "tiny", shared_data, monkeypatch)
    async with serving(models, name) as wearer:
        await looked_up(wearer, "a cat")


async def test_a_chat_server(models: "Models") -> None:
    """The second answer breaks off: what came of it is told as a part."""
    broken = Raw(events(chunk("m", {"content": "It drinks"}), done=False))
    with chat_server([SEARCHED, " It is a cat.", broken]) as (client, _):
        async with serving(models, f"openai:{client.endpoint.url}#tiny") as wearer:
            await looked_up(wearer, "the cat")
            wearer.say("ask", text="What does it do?")
            end = await wearer.until("end", 2, PATIENCE_S)
            assert end["text"] == "It drinks"
            assert end["cut"] == wearer.of("refused")[-1]["reason"]
