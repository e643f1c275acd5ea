"""Tell from a compressed frame's bytes whether decoding can start with it."""

VP8_START_CODE = b"\x9d\x01\x2a"  # RFC 6386 section 9.1, bytes 3 to 5 of a keyframe
ANNEX_B = b"\x00\x00\x01"
NAL_IDR = 5  # ITU-T H.264 table 7-1


def is_keyframe(codec: str, data: bytes) -> bool:
    """Whether `data`, a whole frame of `codec` ("VP8", "H264"), refers to no other frame.

    Any other codec counts as keyframes only, so that nothing waits for one.
    """
    name = codec.upper()
    if name == "VP8":
        return len(data) >= 10 and not data[0] & 1 and data[3:6] == VP8_START_CODE
    if name == "H264":
        return _has_idr(data)
    return True


def _has_idr(data: bytes) -> bool:
    at = data.find(ANNEX_B)
    while 0 <= at < len(data) - len(ANNEX_B):
        if data[at + len(ANNEX_B)] & 0x1F == NAL_IDR:
            return True
        at = data.find(ANNEX_B, at + len(ANNEX_B))
    return False
