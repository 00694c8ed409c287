"""Announces an RTSP server by multicast DNS (python-zeroconf) until its standard input ends: ADDRESS PORT NAME PATH."""

import socket
import sys

from zeroconf import ServiceInfo, Zeroconf

address, port, name, path = sys.argv[1:]
zeroconf = Zeroconf(interfaces=[address])
zeroconf.register_service(
    ServiceInfo(
        "_rtsp._tcp.local.",
        f"{name}._rtsp._tcp.local.",
        addresses=[socket.inet_aton(address)],
        port=int(port),
        properties={"path": path},
        server="shed.local.",
    )
)
print("announced", flush=True)
sys.stdin.read()
zeroconf.close()
