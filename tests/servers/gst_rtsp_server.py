#!/usr/bin/python3
"""GStreamer's RTSP server as a camera that we did not write.

Serves H.264 on /main and /sub of 127.0.0.1: a ball that bounces (with a clock where the package
gstreamer1.0-x is installed), or a file. Prints
"port N" on a line of its own once it listens. Debian packages: python3-gi
gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
gstreamer1.0-plugins-ugly (./prep.sh test installs them).
"""

import argparse
import sys

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
except (ImportError, ValueError) as e:
    sys.exit(f"GStreamer's RTSP server is missing ({e}): run ./prep.sh test")

ROLE = "user"


def picture(width, height, fps, kbit):
    clock = " ! clockoverlay" if Gst.ElementFactory.find("clockoverlay") else ""
    return (
        f"videotestsrc is-live=true pattern=ball"
        f" ! video/x-raw,width={width},height={height},framerate={fps}/1"
        f"{clock}"
        f" ! x264enc tune=zerolatency speed-preset=ultrafast bitrate={kbit} key-int-max={2 * fps}"
    )


def file(path):
    demux = "qtdemux ! " if path.endswith((".mp4", ".mov", ".m4v")) else ""
    return f'filesrc location="{path}" ! {demux}h264parse ! video/x-h264,alignment=au'


def factory(source, permissions):
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(f"( {source} ! rtph264pay name=pay0 pt=96 config-interval=-1 )")
    made.set_shared(True)
    if permissions is not None:
        made.set_permissions(permissions)
    return made


def authentication(kind, user, password):
    """What checks a user, and what a user may do."""
    token = GstRtspServer.RTSPToken.new()
    token.set_string("media.factory.role", ROLE)
    auth = GstRtspServer.RTSPAuth.new()
    if kind == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    may = Gst.Structure.from_string(
        f"{ROLE},media.factory.access=(boolean)true,media.factory.construct=(boolean)true"
    )[0]
    permissions = GstRtspServer.RTSPPermissions.new()
    permissions.add_role_from_structure(may)
    return auth, permissions


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="0", help="0 takes any that is free (default)")
    parser.add_argument(
        "--auth", nargs=3, metavar=("digest|basic", "USER", "PASSWORD"), help="ask for a password"
    )
    parser.add_argument("--file", help="serve this .mp4 or .h264 on both mounts, once")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    args = parser.parse_args()

    Gst.init(None)
    for element in ["x264enc", "rtph264pay", "h264parse"]:
        if Gst.ElementFactory.find(element) is None:
            sys.exit(f"GStreamer has no {element}: run ./prep.sh test")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    permissions = None
    if args.auth:
        auth, permissions = authentication(*args.auth)
        server.set_auth(auth)
    mounts = server.get_mount_points()
    for mount, size, kbit in [("/main", (1280, 720), 2000), ("/sub", (640, 360), 500)]:
        source = file(args.file) if args.file else picture(*size, args.fps, kbit)
        mounts.add_factory(mount, factory(source, permissions))
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {args.port}")
    print("port", server.get_bound_port(), flush=True)

    loop = GLib.MainLoop()
    # Sessions that went away without TEARDOWN are cleaned up.
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() >= 0)
    if args.with_parent:

        def on_input(channel, _condition):
            if channel.read() == b"":
                loop.quit()
                return False
            return True

        GLib.io_add_watch(
            GLib.IOChannel.unix_new(0), GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, on_input
        )
    try:
        loop.run()
    except KeyboardInterrupt:
        pass


main()
