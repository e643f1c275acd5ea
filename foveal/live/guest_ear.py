"""The ear of a client that may ask and no more: what it wishes is a question."""

from foveal.live.protocol import server
from foveal.live.room import Room
from foveal.live.speech.voice import LiveVoice
from stream.errors import PromptError


class GuestEar:
    """A `foveal.live.speech.microphone.Ear` in front of a room."""

    def __init__(self, room: Room) -> None:
        self._room = room

    @property
    def voice(self) -> LiveVoice | None:
        """The room's."""
        return self._room.voice

    def heard(self, message: server.HearingMessage | server.TranscriptMessage) -> None:
        """As the room."""
        self._room.heard(message)

    def interrupted(self) -> None:
        """As the room."""
        self._room.interrupted()

    def asked(self, text: str) -> None:
        """A question, whatever it wishes to be forgotten."""
        try:
            self._room.ask(text, "speech")
        except PromptError as error:
            self._room.tell(server.ErrorMessage(reason=str(error)))
