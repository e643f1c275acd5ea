"""A camera that streams and sends nothing: told, said once, and its age grows."""

import asyncio

import pytest

from devices.webrtc.tracks import SpeechTrack
from foveal.live.camera_watch import STALL_NS, STALLED, CameraWatch, old_picture
from stream.clock import NS_PER_MS, NS_PER_S
from tests.doubles.devices import ToneSpeaker
from tests.foveal.live.live_rig import SAID, LiveRig, QueueSource, until


async def test_a_stall_is_told_said_once_and_over_with_the_next_picture() -> None:
    speaker = ToneSpeaker(samples_per_char=10)
    async with LiveRig(speaker=speaker) as rig:
        assert rig.live.voice is not None
        rig.live.voice.attach(SpeechTrack(rig.clock))
        source = QueueSource(rig.clock)
        source.put(0, 50)
        watching = asyncio.create_task(rig.live.watch(source))
        await rig.until("regions", 2)
        await rig.until("camera", 2)  # in use, then stalled
        assert rig.live.camera
        await until(lambda: speaker.spoken == [STALLED])
        ages = [one["age_ms"] for one in rig.of("stats") if one["fps"] == 0]
        assert ages == sorted(ages) and ages[-1] > 1000  # it grows while nothing comes
        rig.live.ask("What is this?")
        end = await rig.until("end")
        assert end["text"] == SAID and end["age_ms"] >= 3000
        assert rig.of("started")[0]["age_ms"] == end["age_ms"]
        await until(lambda: "It is a small vessel." in speaker.spoken)
        assert speaker.spoken[1] == old_picture(end["age_ms"] * NS_PER_MS).strip()
        source.put(5000)
        await rig.until("camera", 3)
        assert rig.of("camera") == [
            {"on": True},
            {"on": True, "stalled": True, "reason": STALLED},
            {"on": True},
        ]
        rig.live.ask("And now?")
        source.put(5100)
        fresh = await rig.until("end", 2)
        assert "age_ms" not in fresh and speaker.spoken.count(STALLED) == 1
        source.queue.put_nowait(None)
        await watching


async def test_photos_come_when_they_come() -> None:
    async with LiveRig() as rig:
        source = QueueSource(rig.clock)
        source.put(0)
        watching = asyncio.create_task(rig.live.watch(source, steady=False))
        await rig.until("regions")
        await until(lambda: rig.clock.now_ns() > STALL_NS + NS_PER_S)
        assert rig.of("camera") == [{"on": True}]
        assert rig.of("stats")[-1]["age_ms"] > 2000
        source.queue.put_nowait(None)
        await watching


def test_a_rare_camera_stalls_once_a_slow_model_never() -> None:
    watch = CameraWatch(0)
    watch.begin(0, steady=True)
    assert not watch.came(NS_PER_S)
    watch.done(20 * NS_PER_S)  # the models took so long
    assert not watch.stalls(22 * NS_PER_S)
    assert watch.stalls(24 * NS_PER_S) and not watch.stalls(25 * NS_PER_S)  # told once
    assert watch.came(26 * NS_PER_S)  # six seconds: so rarely does it send
    watch.done(26 * NS_PER_S)
    assert not watch.stalls(32 * NS_PER_S) and watch.stalls(46 * NS_PER_S)
    assert watch.age_ns(46 * NS_PER_S) == 20 * NS_PER_S


@pytest.mark.parametrize(
    ("age_s", "said"),
    [
        (2.4, "2 seconds"),
        (0.2, "1 second"),
        (61, "1 minute"),
        (150, "2 minutes"),
        (7201, "2 hours"),
    ],
)
def test_an_age_is_said_in_words(age_s: float, said: str) -> None:
    assert old_picture(round(age_s * NS_PER_S)) == f"The last picture came {said} ago. "
