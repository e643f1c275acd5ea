"""GStreamer's webrtcbin as a WHIP client: a red picture and a tone. Run as a program, by the Python
that has GStreamer's bindings (Debian: python3-gst-1.0).

    python3 gst_publisher.py URL TOKEN SECONDS ENCODER

It needs nothing but those bindings; its status is 0 when the connection came up.
"""

import sys
import urllib.parse
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402 - versions come first

RTP = "application/x-rtp"
ENCODERS = {
    "vp8": f"vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay pt=96 ! {RTP},encoding-name=VP8",
    "h264-high": "x264enc tune=zerolatency key-int-max=30 ! video/x-h264,profile=high ! "
    f"rtph264pay config-interval=-1 pt=96 ! {RTP},encoding-name=H264",
}
PIPELINE = (
    "webrtcbin name=rtc bundle-policy=max-bundle "
    "videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "{encoder},media=video,payload=96 ! rtc. "
    "audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=97 ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! rtc."
)


class Publisher:
    """One connection, from its offer to its DELETE."""

    def __init__(self, url: str, token: str, seconds: float, encoder: str) -> None:
        self._url, self._token, self._seconds = url, token, seconds
        self._loop = GLib.MainLoop()
        self._pipeline = Gst.parse_launch(PIPELINE.format(encoder=ENCODERS[encoder]))
        self._rtc = self._pipeline.get_by_name("rtc")
        self._location = ""
        self.state = ""

    def run(self) -> None:
        self._rtc.connect("on-negotiation-needed", lambda _: self._offer())
        self._rtc.connect("notify::ice-gathering-state", self._on_gathering)
        self._rtc.connect("notify::connection-state", self._on_state)
        self._pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add_seconds(20, self._loop.quit)
        self._loop.run()
        if self.state == "connected":
            self._request("DELETE", self._location)
        self._pipeline.set_state(Gst.State.NULL)

    def _offer(self) -> None:
        promise = Gst.Promise.new_with_change_func(self._on_offer, None, None)
        self._rtc.emit("create-offer", None, promise)

    def _on_offer(self, promise: Any, *_: Any) -> None:
        reply = promise.get_reply()  # owns the offer
        self._rtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def _on_gathering(self, *_: Any) -> None:
        complete = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if self._rtc.get_property("ice-gathering-state") == complete and not self._location:
            GLib.idle_add(self._post)

    def _post(self) -> bool:
        offer = self._rtc.get_property("local-description").sdp.as_text()
        with self._request("POST", self._url, offer.encode()) as response:
            self._location = urllib.parse.urljoin(self._url, response.headers["Location"])
            text = response.read().decode()
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        answer = GstWebRTC.WebRTCSessionDescription.new(kind, sdp)
        self._rtc.emit("set-remote-description", answer, Gst.Promise.new())
        return False

    def _on_state(self, *_: Any) -> None:
        self.state = self._rtc.get_property("connection-state").value_nick
        if self.state == "connected":
            GLib.timeout_add(int(1000 * self._seconds), self._loop.quit)
        elif self.state == "failed":
            self._loop.quit()

    def _request(self, method: str, url: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/sdp"}
        request = urllib.request.Request(url, body, headers, method=method)
        return urllib.request.urlopen(request, timeout=10)


if __name__ == "__main__":
    Gst.init(None)
    publisher = Publisher(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
    publisher.run()
    print(publisher.state)
    sys.exit(publisher.state != "connected")
