"""The annotated picture of a live session, for players: drawn only while somebody looks."""

import asyncio
import logging
import threading
from concurrent.futures import Executor

from devices.webrtc.tracks import ViewTrack
from foveal.output.annotate import draw
from foveal.output.captions import Captions
from stream.clock import Clock
from stream.events import Region
from stream.frame import Frame, Image, Keyframe

logger = logging.getLogger(__name__)

VIEW_HEIGHTS = (1, 480)  # least and most rows of what is sent: encoding takes the same cores

_Shown = tuple[Frame, tuple[Region, ...], Keyframe | None]


class LiveView:
    """Draws the newest frame that the models have taken; those that come meanwhile are left out.

    `show` belongs to the worker, the rest to the event loop it was made on. Captions go by `clock`,
    as the voice does.
    """

    def __init__(self, pool: Executor, clock: Clock) -> None:
        """`pool` draws."""
        self._pool, self._clock = pool, clock
        self._loop = asyncio.get_running_loop()
        self._tracks: tuple[ViewTrack, ...] = ()
        self._captions = Captions()
        self._caption: str | None = None  # that was drawn last
        self._lock = threading.Lock()  # of the captions, and of what waits to be drawn
        self._waiting: _Shown | None = None
        self._drawing = False
        self._last: _Shown | None = None  # for who comes while the camera pauses

    @property
    def watched(self) -> bool:
        """Whether anybody looks."""
        return bool(self._tracks)

    def attach(self, track: ViewTrack) -> None:
        """Somebody looks from now on, at first at what was seen last."""
        self._tracks = (*self._tracks, track)
        if self._last is not None:
            self._offer(self._last)

    def detach(self, track: ViewTrack) -> None:
        """He looks no longer; twice is fine."""
        self._tracks = tuple(one for one in self._tracks if one is not track)

    def ask(self, question: str) -> None:
        """A question: the answer before it is shown no longer."""
        with self._lock:
            self._captions.ask(question, self._clock.now_ns())

    def say(self, sentence: str, duration_ns: int, start_ns: int) -> None:
        """A sentence of the answer is spoken from a time of the clock on."""
        with self._lock:
            self._captions.say(sentence, duration_ns, start_ns)

    def read(self, answer: str) -> None:
        """An answer that nobody speaks, for as long as it takes to read."""
        with self._lock:
            self._captions.read(answer, self._clock.now_ns())

    def hush(self) -> None:
        """The answer was cut off."""
        with self._lock:
            self._captions.clear()

    def refresh(self) -> None:
        """Draw again if the caption has changed; needed while the camera pauses."""
        with self._lock:
            changed = self._captions.at(self._clock.now_ns()) != self._caption
        if changed and self.watched and self._last is not None:
            self._offer(self._last)

    def show(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        """A frame that the models have taken, with its masklets."""
        self._last = frame, regions, keyframe
        if self.watched:
            self._offer(self._last)

    def _offer(self, shown: _Shown) -> None:
        with self._lock:
            self._waiting = shown
            if self._drawing:
                return
            self._drawing = True
        try:
            self._pool.submit(self._draw)
        except RuntimeError:  # the server is shutting down
            self._drawing = False

    def _draw(self) -> None:
        while True:
            with self._lock:
                shown, self._waiting = self._waiting, None
                self._drawing = shown is not None
                caption = self._caption = self._captions.at(self._clock.now_ns())
            if shown is None:
                return
            try:
                picture = draw(*shown, caption, VIEW_HEIGHTS)
                self._loop.call_soon_threadsafe(self._hand_out, picture, shown[0].pts_ns)
            except Exception:  # whatever a font or a closed loop does, the session goes on
                logger.exception("a view could not be drawn")

    def _hand_out(self, picture: Image, pts_ns: int) -> None:
        for track in self._tracks:
            track.show(picture, pts_ns)
