"""A question is spoken at a camera that the box reads itself (MPEG-TS, RTSP), and answered."""

import functools
import re
import subprocess
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from devices.audio.pcm import Pcm
from devices.audio.wav import write_wav
from devices.speaking.speaker import HibariSpeaker
from devices.video.url import UrlOptions
from foveal.assets.registry import asset_path
from foveal.live.engine import Engine
from foveal.live.speech.hearing import listener_maker
from foveal.server.app import ServeConfig
from foveal.setup.hearing import Hearing, load_hearing
from stream.clock import NS_PER_S
from stream.errors import AssetError
from tests.devices.video.test_url import free_port, push
from tests.doubles.devices import LevelDetector, ScriptedTranscriber, ToneSpeaker
from tests.foveal.live.live_rig import SAID, make_stages, until
from tests.foveal.server.serve_rig import Site, SocketClient

RATE = 24_000
FRAMES = 9 * 30  # of the pushed stream at most, at 30 fps


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the camera again soon, and miss it soon."""
    options = functools.partial(UrlOptions, first_retry_s=0.1, max_retry_s=0.2)
    monkeypatch.setattr("foveal.server.cameras.UrlOptions", options)
    monkeypatch.setattr("foveal.server.cameras.GONE_S", 0.5)
    monkeypatch.setattr("foveal.server.cameras.RETRY_NS", NS_PER_S // 10)


def engine(hearing: Hearing | None = None) -> Engine:
    """Doubles, with ears: a word for each quarter second of loud sound, or `hearing`."""
    heard = hearing or Hearing(LevelDetector(), ScriptedTranscriber(("what", "is", "this?")))
    return Engine(make_stages, ToneSpeaker(samples_per_char=400), listener_maker(heard))


def tone(folder: Path) -> Path:
    """Loud for three words, after a second and a half of silence."""
    loud = (16_000 * np.sin(np.arange(round(0.75 * RATE)) * 0.2)).astype(np.int16)
    return speech_file(folder, [loud])


def speech_file(folder: Path, chunks: list[Pcm]) -> Path:
    path = folder / "said.wav"
    pause = np.zeros(round(1.5 * RATE), np.int16)
    write_wav(path, [pause, *chunks, pause, pause], RATE)
    return path


@asynccontextmanager
async def watching(
    hearing: Hearing | None = None, camera_sound: bool = False
) -> AsyncIterator[tuple[SocketClient, int]]:
    """A server that reads a camera: a client of its session, the camera's port."""
    port = free_port()
    config = ServeConfig(cameras=(f"tcp://127.0.0.1:{port}",), camera_sound=camera_sound)
    async with Site(config, engine(hearing)) as site:
        (spot,) = site.server.spots
        screen = await site.socket(f"?conversation={spot.room.id}")
        yield screen, port
        await screen.close()


@asynccontextmanager
async def camera(port: int, *sound: Path) -> AsyncIterator[None]:
    """A camera that sends within this block."""
    where = f"tcp://127.0.0.1:{port}?listen=1"
    pushing = await push(where, "mpegts", 0, FRAMES, *map(str, sound))
    try:
        yield
    finally:
        if pushing.returncode is None:
            pushing.kill()
        await pushing.wait()


async def test_a_question_spoken_at_a_camera_is_answered(tmp_path: Path) -> None:
    async with watching(camera_sound=True) as (screen, port):
        async with camera(port, tone(tmp_path)):
            await until(lambda: screen.of("asked"), 30)
            (asked,) = screen.of("asked")
            assert (asked["text"], asked["origin"]) == ("what is this?", "speech")
            assert (await screen.until("end"))["text"] == SAID
            assert [one["on"] for one in screen.of("hearing")] == [True, False]
        await until(lambda: not screen.of("camera")[-1]["on"], 30)
        async with camera(port, tone(tmp_path)):  # another connection, another ear
            await until(lambda: len(screen.of("asked")) == 2, 30)


async def test_a_camera_is_listened_to_only_while_a_client_says_so(tmp_path: Path) -> None:
    async with watching() as (screen, port):
        async with camera(port, tone(tmp_path)):
            await until(lambda: any(one["pts_ms"] > 3000 for one in screen.of("regions")), 30)
            assert not screen.of("hearing") and not screen.of("asked")
        await until(lambda: not screen.of("camera")[-1]["on"], 30)
        async with camera(port, tone(tmp_path)):
            seen = len(screen.of("regions"))
            await until(lambda: len(screen.of("regions")) > seen, 30)
            await screen.say("talk", on=True, open_mic=True)
            await until(lambda: screen.of("asked"), 30)


async def test_a_camera_without_sound_has_no_microphone() -> None:
    async with watching(camera_sound=True) as (screen, port), camera(port):
        await screen.until("regions", 3)
        await screen.say("talk", on=True)
        assert "no microphone" in (await screen.until("error"))["reason"]


@pytest.mark.assets
@pytest.mark.parametrize("voice", ["hibari", "espeak-ng"])
async def test_words_spoken_at_a_camera_are_understood(tmp_path: Path, voice: str) -> None:
    try:
        asset_path("whisper-tiny-en", "model.bin")
    except AssetError as error:
        pytest.skip(str(error))
    question = "What is coffee made from?"
    if voice == "hibari":
        wav = speech_file(tmp_path, list(HibariSpeaker().synthesize(question)))
    else:
        wav = espeak(tmp_path, question)
    hearing = load_hearing()
    async with watching(hearing, camera_sound=True) as (screen, port), camera(port, wav):
        await until(lambda: screen.of("asked"), 60)
        words = re.sub(r"[^a-z ]", "", screen.of("asked")[0]["text"].lower())
        assert "coffee" in words and "made" in words
        assert (await screen.until("end"))["text"] == SAID


def espeak(folder: Path, words: str) -> Path:
    raw = folder / "espeak.wav"
    try:
        subprocess.run(["espeak-ng", "-s", "150", "-w", str(raw), words], check=True)
    except FileNotFoundError:
        pytest.skip("espeak-ng is not installed (Debian: apt install espeak-ng)")
    with wave.open(str(raw)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    path, pause = folder / "said.wav", np.zeros(round(1.5 * rate), np.int16)
    write_wav(path, [pause, samples, pause, pause], rate)
    return path
