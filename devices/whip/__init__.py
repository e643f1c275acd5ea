"""WebRTC sessions by one HTTP POST: WHIP (RFC 9725), WHEP and the duplex form."""
