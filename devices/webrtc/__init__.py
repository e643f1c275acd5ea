"""Live video over WebRTC: frames as soon as their last packet has come, never a stale queue.

`connection.PeerConnection` is aiortc's, with a video receiver that does not wait for the next
frame; `whip.build_app` lets cameras publish over HTTP (RFC 9725); `connection.open_video` turns
a received track into a `stream.frame.FrameSource`. See docs/webrtc.md.
"""
