"""What tokens may be for."""

SCOPES = {
    "publish": "start sessions, send a camera and photos (/session, /whip, /photo)",
    "view": "see and hear a session whose address one has (/events, /whep)",
    "ask": "ask in it, by text and by voice",
    "record": "record one's own session",
    "admin": "list sessions and recordings, play and remove recordings, manage any session",
}
DEFAULT_SCOPES = ("publish", "view", "ask")
