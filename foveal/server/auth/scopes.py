"""What tokens may be for."""

SCOPES = {
    "publish": "send a camera and a microphone, hear the answers, ask (/session, /whip)",
    "play": "hear the answers of a session (/whep)",
    "events": "see the messages of a session, and ask (/events)",
    "admin": "list sessions and recordings, play and remove recordings",
}
