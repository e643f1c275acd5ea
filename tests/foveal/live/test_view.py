"""The view of a live session: its captions keep to the voice, also while the camera pauses."""

import asyncio
from itertools import groupby

import numpy as np
import pytest

from devices.webrtc.tracks import SpeechTrack, ViewTrack
from foveal.live import view as view_module
from foveal.output.captions import BREATH_NS, MIN_READING_NS
from stream.clock import NS_PER_S
from stream.frame import Image
from tests.doubles.devices import ToneSpeaker
from tests.foveal.live.live_rig import SAID, LiveRig, QueueSource, until


class Screen:
    """What was drawn: the answer's part of the caption, and when."""

    def __init__(self, rig: LiveRig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn: list[tuple[str, int]] = []

        def draw(*args: object) -> Image:
            caption = str(args[3] or "").rpartition("A: ")[2]
            self.drawn.append((caption, rig.clock.now_ns()))
            return np.zeros((8, 8, 3), np.uint8)

        monkeypatch.setattr(view_module, "draw", draw)
        rig.live.view.attach(ViewTrack())

    @property
    def captions(self) -> list[str]:
        """Each once, as they followed."""
        return [caption for caption, _ in groupby(caption for caption, _ in self.drawn)]


async def one_frame(rig: LiveRig) -> None:
    source = QueueSource()
    source.put(0)
    source.queue.put_nowait(None)
    await rig.live.watch(source)


async def test_a_caption_lasts_as_long_as_its_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    async with LiveRig(speaker=ToneSpeaker(samples_per_char=1600)) as rig:
        screen, track = Screen(rig, monkeypatch), SpeechTrack(rig.clock)
        assert rig.live.voice is not None
        rig.live.voice.attach(track)
        await one_frame(rig)
        rig.live.ask("What is this?")
        while not rig.of("spoken"):
            await track.recv()
        ended_ns = rig.clock.now_ns()
        await until(lambda: screen.captions[-1] == "")
        assert screen.captions == ["", "A cup.", "It is a small vessel.", ""]
        assert screen.drawn[-1][1] - ended_ns < BREATH_NS + NS_PER_S // 2


async def test_a_new_question_takes_the_caption_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with LiveRig(speaker=ToneSpeaker(samples_per_char=1600)) as rig:
        screen, track = Screen(rig, monkeypatch), SpeechTrack(rig.clock)
        assert rig.live.voice is not None
        rig.live.voice.attach(track)
        await one_frame(rig)
        rig.live.ask("What is this?")
        await until(lambda: screen.captions[-1] == "A cup.")
        rig.live.voice.cut_off()  # the wearer speaks
        await until(lambda: screen.captions[-1] == "")
        await asyncio.sleep(0.5)
        assert screen.captions == ["", "A cup.", ""]


async def test_without_a_listener_an_answer_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with LiveRig(speaker=ToneSpeaker()) as rig:
        screen = Screen(rig, monkeypatch)
        await one_frame(rig)
        rig.live.ask("What is this?")
        await until(lambda: screen.captions[-1] == SAID)
        began_ns = screen.drawn[-1][1]
        await until(lambda: screen.captions[-1] == "")
        assert screen.drawn[-1][1] - began_ns > MIN_READING_NS - NS_PER_S // 2
