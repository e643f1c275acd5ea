"""Writes what a session makes into its output folder, as it is made."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devices.speaking.speaker import Speaker
from foveal.output.annotate import draw, mark_question, told_apart
from foveal.output.answer_records import answer_record
from foveal.output.blur import FaceBlur
from foveal.output.captions import Captions
from foveal.output.hidden_faces import AnswerCard, FaceCurtain, OverlayFrame
from foveal.output.lines import LineFile, prepare
from foveal.output.moments import MOMENTS, MomentPictures
from foveal.output.narrator import Narrator
from foveal.output.report.builder import ReportBuilder
from foveal.output.video_thread import VideoThread
from foveal.session.memory.kept_views import KeptViews
from stream.clock import NS_PER_S
from stream.errors import FovealError
from stream.events import Answer, AnswerEvent, Region
from stream.frame import Frame, Keyframe
from stream.outgoing import OutgoingFile
from stream.timing.trace import Tracer

HEIGHTS = (480, 720)  # least and most pixels of annotated.mp4 and the report's pictures
OUTGOING = "outgoing.jsonl"
RESULTS = (
    "answers.jsonl",
    "events.jsonl",
    "alerts.jsonl",
    f"{OUTGOING}*",
    "annotated.mp4",
    "report.html",
    "speech/*.wav",
    f"{MOMENTS}/*.jpg",
)


class Recorder:
    """A SessionSink that fills a folder: answers, events, video, speech and the report.

    Every line is on disk when its call returns, so an interrupted run keeps what was finished.
    Results of an earlier run in the same folder are removed first. A voice or video that fails is
    refused with its reason, and the session goes on; a folder that takes no answers raises
    OutputError. `timed` puts measured durations into answers.jsonl: leave it off on a virtual
    clock, where two replays must give the same bytes.
    """

    def __init__(
        self,
        folder: Path,
        speaker: Speaker | None,
        timed: bool,
        *,
        video: bool = True,
        scores: bool = False,
        tracer: Tracer | None = None,
        blur: FaceBlur | None = None,
        views: KeptViews | None = None,
    ) -> None:
        """`scores` shows ids and scores in the video; `blur` hides faces in all that is kept.

        `views` has the pictures of what is remembered; with `blur` none of them is kept.
        """
        self._moments = MomentPictures(folder, None if blur is not None else views)
        self.folder = folder
        self.outgoing = OutgoingFile(folder / OUTGOING)  # what left the machine: nothing, if empty
        self.answers: list[Answer] = []
        self.refused: Counter[str] = Counter()  # cause -> count, of what this recorder refused
        self.reasons: dict[str, str] = {}  # cause -> why, of the first that was refused for it
        self._narrator = Narrator(speaker) if speaker is not None else None
        self._herald = Narrator(speaker) if speaker is not None else None  # of alerts
        self._told = 0  # alerts
        self._timed = timed
        self._tracer = tracer or Tracer()
        self._wants_video, self._scores = video, scores
        self._captions = Captions()
        self._curtain = None if blur is None else FaceCurtain(blur)
        self._last: OverlayFrame | None = None
        self._finished = False
        self._open()

    def _open(self) -> None:
        """Make the folder and its files; on an error nothing stays open."""
        with ExitStack() as opened:
            prepare(self.folder, RESULTS)
            self.outgoing.begin()
            self._answers = opened.enter_context(LineFile(self.folder / "answers.jsonl"))
            self._events = opened.enter_context(LineFile(self.folder / "events.jsonl"))
            self._alerts = opened.enter_context(LineFile(self.folder / "alerts.jsonl"))
            self._report = opened.enter_context(ReportBuilder(self.folder / "report.html"))
            video = self.folder / "annotated.mp4"
            self._video = VideoThread(video, HEIGHTS, self._tracer, self._scores)
            self._files = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._finished:
                self.finish({"ended": "early" if kind is None else kind.__name__})
        except FovealError:
            if error is None:  # what ended the session says more than what followed from it
                raise
        finally:
            self._close_video()
            self._files.close()

    def event(self, event: AnswerEvent) -> None:
        """Append one event with its stream time in seconds."""
        at_s = event.stream_ns / NS_PER_S
        # Nested, because a search has a kind of its own.
        self._events.write({"event": event.kind, "at_s": at_s, "data": event.data})
        if event.kind == "refused":
            self.reasons.setdefault(str(event.data["cause"]), str(event.data["reason"]))
        if event.kind == "alert":
            self._alert(event)
        elif event.kind == "question" and self._narrator is not None:
            self._narrator.begin()
        elif event.kind == "token" and event.data.get("spoken"):
            self._say(str(event.data["text"]), event.stream_ns)

    def frame(self, frame: Frame, regions: tuple[Region, ...], keyframe: Keyframe | None) -> None:
        """Draw one frame of the annotated video, and keep keyframes for the report."""
        shot = OverlayFrame(frame, regions, keyframe, self._captions.at(frame.pts_ns))
        for one in [shot] if self._curtain is None else self._curtain.step(shot):
            self._keep(one)

    def answer(self, answer: Answer, frame: Frame, regions: tuple[Region, ...]) -> None:
        """Write, speak and report one answer; `regions` are what its spans name in `frame`."""
        record = answer_record(answer, timed=self._timed)
        self.answers.append(answer)
        moment = self._moments.keep(answer, len(self.answers))
        if moment is not None:
            record["moment"] = moment.as_json()
        self._answers.write(record)
        with self._tracer.span("speech", frame.pts_ns):
            wav = self._speak(answer, frame.pts_ns)
        uri = None if moment is None else moment.uri
        card = AnswerCard(answer, frame, regions, wav, uri)
        if self._curtain is None:
            self._tell(card)
        else:
            self._curtain.answer(card)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """End the video and write the report; `summary` as ReportBuilder.finish takes it."""
        self._finished = True
        self._open_curtain()
        self._play_out()
        self._close_video()
        refused = Counter(summary.get("refused") or {}) + self.refused
        self._report.finish({**summary, "refused": dict(refused)})

    def _keep(self, shot: OverlayFrame) -> None:
        """Draw a frame into the video, and put what belongs to it into the report."""
        for card in shot.cards:
            self._tell(card)
        if shot.keyframe is not None:
            self._report.add_keyframe(shot.keyframe)
        self._last = shot
        self._show(shot, shot.frame.pts_ns)

    def _open_curtain(self) -> None:
        """Keep what still waits for its faces to be hidden."""
        if self._curtain is not None:
            shots, cards = self._curtain.flush()
            for shot in shots:
                self._keep(shot)
            for card in cards:
                self._tell(card)

    def _tell(self, card: AnswerCard) -> None:
        """The answer's card in the report."""
        answer, frame = card.answer, card.frame
        with self._tracer.span("report", frame.pts_ns):
            apart = told_apart((*(span.region for span in answer.spans), *card.regions))
            spans = tuple(replace(span, region=apart[span.region]) for span in answer.spans)
            names = {one.region: answer.name_of(one) for one in spans}
            shown = dict.fromkeys(apart.values())  # each once
            drawn = tuple(replace(one, name=names.get(one, "")) for one in shown)
            picture = draw(frame, drawn, heights=HEIGHTS)
            mark_question(picture, answer.question, frame.size)
            told = replace(answer, spans=spans)
            self._report.add_answer(told, picture, drawn, card.wav, card.moment)

    def _show(self, shot: OverlayFrame, pts_ns: int) -> None:
        if not self._wants_video:
            return
        try:
            self._video.show(shot, pts_ns)
        except Exception as error:  # whatever a codec or font does, the answers go on
            self._wants_video = False
            self._refuse("video", error, pts_ns)

    def _play_out(self) -> None:
        """Hold the last picture for answers that came at the end, so that they can be read."""
        if self._last is None:
            return
        now_ns = self._last.frame.pts_ns
        for subtitle, duration_ns in self._captions.rest(now_ns):
            held = replace(self._last, keyframe=None, subtitle=subtitle)
            for pts_ns in (now_ns + NS_PER_S // 10, now_ns + duration_ns):
                self._show(held, pts_ns)
            now_ns += duration_ns

    def _close_video(self) -> None:
        try:
            self._video.close()
        except Exception as error:  # the last pictures' errors come here
            if self._wants_video:
                self._wants_video = False
                self._refuse("video", error, 0 if self._last is None else self._last.frame.pts_ns)

    def _alert(self, event: AnswerEvent) -> None:
        """Keep a standing question that came true, show its words, and speak them."""
        self._told += 1
        self._alerts.write({"at": event.stream_ns / NS_PER_S, **event.data})
        text = str(event.data["text"])
        self._captions.read(text, event.stream_ns)
        if self._herald is None or event.data["silent"]:
            return
        path = self.folder / "speech" / f"alert-{self._told:02d}.wav"
        try:
            self._herald.write(text, path)
        except Exception as error:  # a voice is third-party code: no failure of it ends a session
            self._refuse("speech", error, event.stream_ns)

    def _say(self, words: str, at_ns: int) -> None:
        """Speak what these words finish, while the answer goes on."""
        if self._narrator is None:
            return
        try:
            with self._tracer.span("speech", at_ns):
                seconds = self._narrator.say(words)
        except Exception as error:  # a voice is third-party code: no failure of it ends a session
            self._narrator.give_up()
            self._refuse("speech", error, at_ns)
            return
        if seconds:
            data = {"answer": len(self.answers) + 1, "duration_s": seconds}
            self.event(AnswerEvent("audio", at_ns, data))

    def _speak(self, answer: Answer, pts_ns: int) -> Path | None:
        """Keep the speech, and show its sentences while it lasts."""
        self._captions.ask(answer.question.text, pts_ns)
        if self._narrator is None:
            self._captions.read(answer.text, pts_ns)
            return None
        path = self.folder / "speech" / f"{len(self.answers):02d}.wav"
        try:
            duration_ns, sentences = self._narrator.write(answer.text, path)
        except Exception as error:  # a voice is third-party code: no failure of it ends a session
            self._captions.read(answer.text, pts_ns)
            self._refuse("speech", error, pts_ns)
            return None
        for words, said_ns in sentences:
            self._captions.say(words, said_ns, pts_ns)
        file = path.relative_to(self.folder).as_posix()
        data = {"answer": len(self.answers), "file": file, "duration_s": duration_ns / NS_PER_S}
        self.event(AnswerEvent("audio", pts_ns, data))
        return path

    def _refuse(self, cause: str, error: Exception, pts_ns: int) -> None:
        self.refused[cause] += 1
        reason = str(error) or type(error).__name__
        self.event(AnswerEvent("refused", pts_ns, {"cause": cause, "reason": reason}))
