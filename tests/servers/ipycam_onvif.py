#!/usr/bin/env python3
"""The ONVIF device of ipycam (PyPI), without its pictures: device and media service and WS-Discovery.

ipycam_onvif.py FOLDER_OF_IPYCAM NAME PASSWORD

Prints the port of its service, then a line for each request: "plain CALL" or "token CALL". Its package as a whole
wants OpenCV and numpy, which none of this needs: so its modules are taken one by one, and those are stubs.
"""

import http.server
import re
import sys
import types
from unittest.mock import MagicMock

for pictures in ("cv2", "numpy"):
    sys.modules[pictures] = MagicMock()
package = types.ModuleType("ipycam")
package.__path__ = [sys.argv[1]]
sys.modules["ipycam"] = package

from ipycam.config import CameraConfig  # noqa: E402
from ipycam.discovery import WSDiscoveryServer  # noqa: E402
from ipycam.onvif import ONVIFService  # noqa: E402


class Handler(http.server.BaseHTTPRequestHandler):
    """As ipycam/http.py does it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        called = re.search(r"Body>\s*<(?:\w+:)?(\w+)", body)
        call = called.group(1) if called else ""
        print("token" if "UsernameToken" in body else "plain", call, flush=True)
        if not service.verify_usernametoken(body):
            return self.answer(401, service.fault("Sender not authorized"))
        return self.answer(200, service.handle_action(call, body))

    def answer(self, status, text):
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
config = CameraConfig(
    name=sys.argv[2], local_ip="127.0.0.1", username="admin", password=sys.argv[3]
)
config.onvif_port = server.server_address[1]
service = ONVIFService(config)
WSDiscoveryServer(service).start()
print(server.server_address[1], flush=True)
server.serve_forever()
