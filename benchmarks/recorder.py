"""Stand between metadeploy and an emulated org, and write down every request."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Ids that an org makes up: of deploys, retrieves, apps, access rows.
ID = re.compile(rb"\b(?:0Af|09S|0H4|0J0)[0-9A-Za-z]{15}\b")
_KEPT_HEADERS = ("content-type", "soapaction", "authorization")


class Recording(ThreadingHTTPServer):
    """A proxy on loopback; `requests` is what a script has to send to do the same."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.org_port = port
        self.requests: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recording

    def do_POST(self) -> None:
        self._forward()

    def do_GET(self) -> None:
        self._forward()

    def do_DELETE(self) -> None:
        self._forward()

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k: v for k, v in self.headers.items() if k.lower() in _KEPT_HEADERS}
        org = http.client.HTTPConnection("127.0.0.1", self.server.org_port)
        org.request(self.command, self.path, body or None, headers)
        response = org.getresponse()
        answer = response.read()
        org.close()
        said: dict[str, object] = {
            "method": self.command,
            "path": self.path,
            "headers": headers,
            "body": body.decode("utf-8"),
            "ids": [i.decode() for i in ID.findall(answer)],
        }
        self.server.requests.append(said)
        self.send_response(response.status)
        self.send_header("Content-Type", response.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def recording(state: Path, port: int) -> Iterator[Recording]:
    """Let metadeploy find the proxy, not the org at `port`, while the block runs.

    state: the project's .metadeploy folder.
    """
    note = state / "emulator" / "server.json"
    before = note.read_text()
    with Recording(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        note.write_text(json.dumps({**json.loads(before), "url": proxy.url}))
        try:
            yield proxy
        finally:
            note.write_text(before)
            proxy.shutdown()
            thread.join()
