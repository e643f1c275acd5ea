"""What a session shows, with its faces hidden before it is drawn.

Hiding delays frames (`foveal.output.blur`), so what belongs to a frame waits with it: its masklets,
its subtitle, and the answers that were given about it.
"""

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from foveal.output.blur import FaceBlur
from stream.events import Answer, Region
from stream.frame import Frame, Keyframe


@dataclass(frozen=True, slots=True, eq=False)
class AnswerCard:
    """An answer for the report; `regions` are what its spans name in `frame`."""

    answer: Answer
    frame: Frame
    regions: tuple[Region, ...]
    wav: Path | None
    moment: str | None = None  # picture of what it recalls, as a data URI

    def on(self, frame: Frame) -> "AnswerCard":
        """The same about another picture of the moment."""
        return replace(self, frame=frame)


@dataclass(frozen=True, slots=True, eq=False)
class OverlayFrame:
    """One frame and all that is shown with it."""

    frame: Frame
    regions: tuple[Region, ...] = ()
    keyframe: Keyframe | None = None
    subtitle: str | None = None
    cards: tuple[AnswerCard, ...] = ()

    def on(self, frame: Frame) -> "OverlayFrame":
        """The same with another picture."""
        keyframe = None if self.keyframe is None else replace(self.keyframe, frame=frame)
        cards = tuple(card.on(frame) for card in self.cards)
        return replace(self, frame=frame, keyframe=keyframe, cards=cards)


class FaceCurtain:
    """Frames in, frames without faces out, later and in the same order."""

    def __init__(self, blur: FaceBlur) -> None:
        self._blur = blur
        self._waiting: deque[OverlayFrame] = deque()
        self._cards: list[AnswerCard] = []  # of the frame that is next

    def answer(self, card: AnswerCard) -> None:
        """An answer, which comes before its frame does; or about one of those that wait."""
        for index, shot in enumerate(self._waiting):
            if shot.frame is card.frame:
                self._waiting[index] = replace(shot, cards=(*shot.cards, card))
                return
        self._cards.append(card)

    def step(self, shot: OverlayFrame) -> list[OverlayFrame]:
        """The next frame; what can be shown by now."""
        self._waiting.append(replace(shot, cards=tuple(self._cards)))
        self._cards.clear()
        return self._ready(self._blur.step(shot.frame))

    def flush(self) -> tuple[list[OverlayFrame], list[AnswerCard]]:
        """What still waits, and answers about frames that never came."""
        shots = self._ready(self._blur.flush())
        cards, self._cards = self._cards, []
        return shots, [card.on(self._alone(card.frame)) for card in cards]

    def _ready(self, hidden: list[Frame]) -> list[OverlayFrame]:
        return [self._waiting.popleft().on(frame) for frame in hidden]

    def _alone(self, frame: Frame) -> Frame:
        return [*self._blur.step(frame), *self._blur.flush()][0]
