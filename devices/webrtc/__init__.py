"""Live video over WebRTC: frames as soon as their last packet has come, never a stale queue.

`connection.PeerConnection` is aiortc's, with a video receiver that does not wait for the next
frame, and its `video_source` gives a received track as a `stream.frame.FrameSource`;
`devices.whip.endpoint.build_app` lets cameras publish over HTTP (RFC 9725). See docs/webrtc.md.
"""
