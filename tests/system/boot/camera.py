"""A gray MJPEG camera at http://127.0.0.1:9000/, made of the stills in a folder. Standard library only: it runs in the machine.

argv: folder, frames a second.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STILLS = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.jpg"))]
PAUSE_S = 1 / float(sys.argv[2])


class Stream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=still")
        self.end_headers()
        number = 0
        while True:
            still = STILLS[number % len(STILLS)]
            head = f"--still\r\nContent-Type: image/jpeg\r\nContent-Length: {len(still)}\r\n\r\n"
            self.wfile.write(head.encode() + still + b"\r\n")
            number += 1
            time.sleep(PAUSE_S)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", 9000), Stream).serve_forever()
