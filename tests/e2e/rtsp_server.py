"""A camera that speaks RTSP: gst-rtsp-server under the system's own python3 (Debian has its bindings only there).

Started by tests.e2e.camera. The first line of stdin is a JSON object of options; "ready PORT" is written once it listens.
Every later line is a command: "size W H" changes the picture's size in flight, "published" asks for what has come in.
Mounts: /live is the picture; /publish takes one by RECORD; /published shows that one again.
"""

from __future__ import annotations

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"
ENCODERS = {
    # One slice a picture: the server starts a viewer with the packet after which it was ready, in the middle of a picture.
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast threads=1 sliced-threads=false key-int-max={gop} bitrate={bitrate} ! "
    "rtph264pay config-interval=-1 pt=96 name=pay0",
    "mjpeg": "jpegenc quality=85 ! rtpjpegpay pt=26 name=pay0",
    # A codec that nobody knows.
    "opaque": "x264enc tune=zerolatency ! rtph264pay ! capssetter caps=application/x-rtp,encoding-name=X-OWN name=pay0",
}


def size_caps(width: int, height: int, rate: int) -> str:
    return f"video/x-raw,format=I420,width={width},height={height},framerate={rate}/1"


class Server:
    """One RTSP server and what was published to it."""

    def __init__(self, options: dict) -> None:
        self.options = options
        self.rate = options["rate"]
        self.published = {"frames": 0, "width": 0, "height": 0, "codec_frames": 0}
        self.live_media: list = []
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(options["port"]))
        self.permissions = None
        if options["user"]:
            self._ask_for_password()
        self._mount()

    def _ask_for_password(self) -> None:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken.new()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
        user, password = self.options["user"], self.options["password"]
        if self.options["auth"] == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(user, password, token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        self.server.set_auth(auth)
        self.permissions = GstRtspServer.RTSPPermissions()
        self.permissions.add_permission_for_role(ROLE, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        self.permissions.add_permission_for_role(ROLE, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)

    def _mount(self) -> None:
        mounts = self.server.get_mount_points()
        width, height = self.options["size"]
        balance = "" if self.options["color"] else "videobalance saturation=0 ! "
        encoder = ENCODERS[self.options["codec"]].format(gop=self.options["gop"], bitrate=self.options["bitrate"])
        live = self._factory(
            f"( videotestsrc is-live=true pattern={self.options['pattern']} horizontal-speed=2 ! "
            f"capsfilter name=size caps={size_caps(width, height, self.rate)} ! {balance}{encoder} )"
        )
        live.connect("media-configure", lambda _factory, media: self._keep(media))
        mounts.add_factory("/live", live)
        publish = self._factory(
            "( rtph264depay name=depay0 ! h264parse ! identity name=units signal-handoffs=true ! avdec_h264 ! "
            "identity name=frames signal-handoffs=true ! intervideosink channel=published sync=false )"
        )
        publish.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        publish.set_latency(0)
        publish.connect("media-configure", lambda _factory, media: self._count(media))
        mounts.add_factory("/publish", publish)
        again = ENCODERS["h264"].format(gop=10, bitrate=4000)
        shown = self._factory(f"( intervideosrc channel=published ! videoconvert ! video/x-raw,format=I420 ! {again} )")
        mounts.add_factory("/published", shown)

    def _factory(self, launch: str) -> GstRtspServer.RTSPMediaFactory:
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.set_shared(True)
        if self.permissions is not None:
            factory.set_permissions(self.permissions)
        return factory

    def _keep(self, media: GstRtspServer.RTSPMedia) -> None:
        self.live_media.append(media)
        media.connect("unprepared", self.live_media.remove)

    def _count(self, media: GstRtspServer.RTSPMedia) -> None:
        element = media.get_element()

        def unit(_element: Gst.Element, _buffer: Gst.Buffer) -> None:
            self.published["codec_frames"] += 1

        def frame(identity: Gst.Element, _buffer: Gst.Buffer) -> None:
            shape = identity.get_static_pad("sink").get_current_caps().get_structure(0)
            self.published["width"], self.published["height"] = shape.get_value("width"), shape.get_value("height")
            self.published["frames"] += 1

        element.get_by_name("units").connect("handoff", unit)
        element.get_by_name("frames").connect("handoff", frame)

    def obey(self, line: str) -> None:
        command, *words = line.split()
        if command == "size":
            caps = Gst.Caps.from_string(size_caps(int(words[0]), int(words[1]), self.rate))
            for media in self.live_media:
                media.get_element().get_by_name("size").set_property("caps", caps)
            say("sized")
        elif command == "published":
            say(json.dumps(self.published))


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    Gst.init(None)
    server = Server(json.loads(sys.stdin.readline()))
    attached = server.server.attach(None)
    port = server.server.get_bound_port()
    if not attached or port <= 0:
        say(f"failed: port {server.options['port']} can not be bound")
        return 1
    loop = GLib.MainLoop()

    def read(channel: GLib.IOChannel, _condition: GLib.IOCondition) -> bool:
        line = channel.readline()
        if not line:
            loop.quit()
            return False
        server.obey(line)
        return True

    GLib.io_add_watch(GLib.IOChannel.unix_new(sys.stdin.fileno()), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, read)
    say(f"ready {port}")
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
