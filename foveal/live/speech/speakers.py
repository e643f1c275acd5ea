"""All that play one session's voice (the wearer's earphone, second screens), as if it were one."""

from collections.abc import Callable
from contextlib import suppress

from devices.audio.pcm import Pcm
from devices.webrtc.tracks import SpeechTrack
from stream.errors import ConfigError


class Speakers:
    """Tracks that say the same; belongs to the event loop.

    One of them leads: it says how much waits, and what goes out is told of it. That is the wearer's
    newest, or else a second screen's; the others are as far as it is, or began later.
    """

    def __init__(self, on_sent: Callable[[Pcm], None]) -> None:
        """`on_sent` is told what goes out, 20 ms at a time."""
        self._on_sent = on_sent
        self._tracks: list[SpeechTrack] = []  # the leading one last

    def __bool__(self) -> bool:
        return bool(self._tracks)

    @property
    def queued(self) -> int:
        """Samples that wait."""
        return self._tracks[-1].queued if self._tracks else 0

    def attach(self, track: SpeechTrack, leads: bool) -> None:
        """One more plays from now on."""
        self._tracks.insert(len(self._tracks) if leads else 0, track)
        self._appoint()

    def detach(self, track: SpeechTrack) -> None:
        """It has ended."""
        if track in self._tracks:
            self._tracks.remove(track)
            track.on_sent = None
            self._appoint()

    def say(self, audio: Pcm, rate_hz: int) -> None:
        """Queue int16 [N] in all; left out where too much waits, because nobody takes it there.

        Raises ConfigError when too much waits in the leading one.
        """
        for track in self._tracks[:-1]:
            with suppress(ConfigError):
                track.say(audio, rate_hz)
        if self._tracks:
            self._tracks[-1].say(audio, rate_hz)

    def hold(self) -> None:
        """Silence; what waits is kept."""
        for track in self._tracks:
            track.hold()

    def resume(self) -> None:
        """Go on where `hold` stopped."""
        for track in self._tracks:
            track.resume()

    def cut_off(self) -> None:
        """Drop what waits."""
        for track in self._tracks:
            track.cut_off()

    def _appoint(self) -> None:
        for track in self._tracks:
            track.on_sent = None
        if self._tracks:
            self._tracks[-1].on_sent = self._on_sent
