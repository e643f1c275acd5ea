"""Each stage run once on a bundled picture, with its time: ok, missing with the command, or failed.

Nothing is downloaded: what a stage lacks is told.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from foveal.assets.hub import needed, snapshot
from foveal.config.schema import Config, placed
from stream.errors import AssetError, FovealError, MissingAssetError, QueryError
from stream.frame import Frame, Image, Mask

if TYPE_CHECKING:
    from foveal.setup.assistant import Models
    from perception.features.backbone import Backbone, Features

State = Literal["ok", "missing", "failed"]
FRAMES, SIZE = 6, (360, 480)  # of the clip
SPOKEN = "What is this on the table?"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What came of one stage."""

    name: str
    state: State
    seconds: float  # with loading what it needs
    told: str  # what it found; or what is missing, with the command; or the reason


class Bench:
    """What the stages share, made when first used."""

    def __init__(self, config: Config, folder: Path) -> None:
        """`folder` is for files of this run."""
        self.config, self.folder = placed(config), folder

    @cached_property
    def frame(self) -> Frame:
        """A cup of coffee, out of scikit-image."""
        from skimage import data

        rows, cols = SIZE
        return Frame(0, 0, np.ascontiguousarray(data.coffee()[:rows, :cols]), "doctor")

    @property
    def image(self) -> Image:
        """[360, 480, 3] uint8 RGB."""
        return self.frame.image

    @cached_property
    def mask(self) -> Mask:
        """[360, 480] where the cup is."""
        mask = np.zeros(SIZE, bool)
        mask[60:280, 130:400] = True
        return mask

    @cached_property
    def models(self) -> "Models":
        """Perception, search and the small language model."""
        from foveal.setup.assistant import open_models

        return open_models(self.config)

    @cached_property
    def backbone(self) -> "Backbone":
        """The shared one."""
        from foveal.setup.processors import device_of
        from foveal.setup.retrieval.search import load_backbone

        return load_backbone(self.config.models.backbone_height, device_of(self.config))

    @cached_property
    def features(self) -> "Features":
        """Of the picture."""
        return self.backbone.features(self.image)

    @cached_property
    def clip(self) -> Path:
        """A short recording: the picture, moving."""
        import av

        path = self.folder / "clip.mp4"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("mpeg4", rate=10)
            stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
            for number in range(FRAMES):
                moved = np.ascontiguousarray(np.roll(self.image, 4 * number, axis=1))
                file.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
            file.mux(stream.encode(None))
        return path

    def require(self, what: str) -> None:
        """Raises MissingAssetError where a published model of that kind was not pulled."""
        for model in needed(self.config):
            if model.what.startswith(what) and snapshot(model) is None:
                raise MissingAssetError(
                    f"{model.id}; `foveal models pull --config PROFILE|FILE` of these settings"
                )


def decode(bench: Bench) -> str:
    """A recording is read."""
    from stream.clock import VirtualClock
    from stream.sources.open import open_source
    from stream.sources.playback import PlaybackOptions

    async def read() -> int:
        source = open_source(bench.clip, VirtualClock(), PlaybackOptions(rate=0))
        return len([frame async for frame in source.frames()])

    return f"{asyncio.run(read())} frames of {FRAMES}"


def keyframes(bench: Bench) -> str:
    """The picture is a keyframe, as a first one is."""
    from stream.keyframes.selector import KeyframeSelector

    selector = KeyframeSelector(bench.config.keyframes)
    _, found = selector.step(selector.init_state(), bench.frame)
    return "none" if found is None else f"one: {found.reason}"


def backbone(bench: Bench) -> str:
    """One pass."""
    device = bench.backbone.device
    return f"{tuple(bench.features.dense.shape)} on {device.name}, {bench.backbone.dtype}"


def detector(bench: Bench) -> str:
    """Things with names."""
    from foveal.assets.convert import network_path
    from foveal.setup.retrieval.search import DETECTOR
    from perception.detect.detector import MODEL, Detector

    found = Detector.load(network_path(DETECTOR, MODEL), bench.backbone.device).detect(bench.image)
    return ", ".join(dict.fromkeys(one.name for one in found[:3])) or "nothing"


def small_sam(bench: Bench) -> str:
    """A mask from a box."""
    from foveal.setup.cutters import load_small_sam

    mask = load_small_sam(bench.backbone.device).from_box(bench.image, (130, 60, 400, 280))
    return f"{int(mask.sum())} pixels"


def tracker(bench: Bench) -> str:
    """A masklet is begun and carried to the next frame."""
    from foveal.setup.trackers import open_tracker

    bench.require("tracker")
    config = bench.config
    opened = open_tracker(config.masklets, config.tracker, bench.backbone, 1)
    state, _ = opened.add(opened.init_state(), bench.frame, bench.features, bench.mask)
    after = Frame(100_000_000, 1, np.roll(bench.image, 4, axis=1), "doctor")
    _, regions = opened.step(state, after, bench.backbone.features(after.image))
    return f"{config.masklets.tracker}: {len(regions)} masklet"


def text_encoder(bench: Bench) -> str:
    """Words become a vector."""
    from foveal.setup.processors import onnx_providers
    from foveal.setup.retrieval.search import load_encoder

    providers = onnx_providers(bench.backbone.device)
    vectors = load_encoder(providers=providers).encode_text([SPOKEN])
    return f"{vectors.shape[1]} numbers, {providers[0]}"


def search(bench: Bench) -> str:
    """The index is asked."""
    from foveal.setup.retrieval.search import open_searcher
    from stream.events import Query

    found = open_searcher(bench.config.index.path).search(Query("text", "coffee", 1))
    return found[0].title if found else "nothing"


def language_model(bench: Bench) -> str:
    """The small model scores; another one answers a question about the picture."""
    from foveal.setup.assistant import build_assistant, load_language_model
    from stream.events import Question

    if bench.config.reasoning.model in ("rules", "pixsearch"):
        device = bench.backbone.device
        score = load_language_model(device.dtype, device.name).likelihood([SPOKEN], " A cup.")[0]
        return f"log-probability {score:.2f}"
    bench.require("vision-language model")
    view = bench.models.reader.read(bench.frame)
    assistant = build_assistant(bench.models, bench.config.reasoning)
    return assistant.ask(Question(SPOKEN, 0), view, lambda _: None).text[:60]


def ocr(bench: Bench) -> str:
    """Written words are read."""
    import cv2

    from foveal.setup.processors import onnx_providers
    from perception.detect.ocr import RapidTextReader

    sign = np.full((96, 320, 3), 255, np.uint8)
    cv2.putText(sign, "COFFEE", (20, 68), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 4)
    lines = RapidTextReader(onnx_providers(bench.backbone.device)).read(sign)
    if not lines:
        raise FovealError("expected the word COFFEE to be read, got none")
    return lines[0].text


def speech(bench: Bench) -> str:
    """A sentence is spoken into a file."""
    from devices.audio.wav import write_wav
    from devices.speaking.speaker import open_speaker

    speaker = open_speaker(bench.config.speech.backend)
    if speaker is None:
        return "switched off (speech: backend: none)"
    path = bench.folder / "said.wav"
    length_ns = write_wav(path, speaker.synthesize(SPOKEN), speaker.sample_rate)
    return f"{speaker.name}, {length_ns / 1e9:.1f} s of sound"


def hearing(bench: Bench) -> str:
    """What was spoken is heard."""
    from foveal.setup.hearing import load_hearing, spoken_questions
    from foveal.setup.processors import whisper_device

    bench.require("speech recognition")
    ears = whisper_device(bench.backbone.device)
    loaded = load_hearing(device=ears, model=bench.config.hearing.model)
    said = bench.folder / "said.wav"
    if not said.is_file():
        return "loaded; nothing was spoken to hear"
    heard = [question.text for question in spoken_questions(said, loaded)]
    return " ".join(heard) or "no words"


STAGES: dict[str, Callable[[Bench], str]] = {
    "decode": decode,
    "keyframes": keyframes,
    "backbone": backbone,
    "detector": detector,
    "small SAM": small_sam,
    "tracker step": tracker,
    "text encoder": text_encoder,
    "search": search,
    "language model": language_model,
    "OCR": ocr,
    "speech out": speech,
    "hearing": hearing,
}


def run_stages(config: Config) -> Iterator[StageResult]:
    """Each stage once, in the order of a session; one that fails leaves the others alone."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(config, Path(folder))
        for name, stage in STAGES.items():
            began = time.perf_counter()
            state, told = _outcome(stage, bench)
            yield StageResult(name, state, round(time.perf_counter() - began, 2), told)


def _outcome(stage: Callable[[Bench], str], bench: Bench) -> tuple[State, str]:
    try:
        return "ok", stage(bench)
    except (MissingAssetError, QueryError) as error:
        return "missing", str(error)
    except AssetError as error:
        lacking = "missing" in str(error) or "not on this machine" in str(error)
        return ("missing" if lacking else "failed"), str(error)
    except Exception as error:  # whatever breaks here would break a session: that is what is asked
        return "failed", f"{type(error).__name__}: {error}"
