"""An emulated org in a process of its own, put back to one state before each run."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from measure import Broken, environment

_DESCRIBE = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Header>
<SessionHeader xmlns="http://soap.sforce.com/2006/04/metadata">
<sessionId>{token}</sessionId></SessionHeader></Header><Body>
<listMetadata xmlns="http://soap.sforce.com/2006/04/metadata">
<queries><type>Profile</type></queries></listMetadata></Body></Envelope>"""


@dataclass
class Served:
    """`metadeploy emulator serve` for one project, always at the same port."""

    metadeploy: str
    project: Path
    port: int = field(default_factory=lambda: free_port())
    token: str = ""
    org: str = "dev"
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def _state(self) -> Path:
        return self.project / ".metadeploy"

    def remember(self) -> None:
        """Make the orgs and a token; `restore` goes back to this state."""
        self.start()
        self.token = self.new_token()
        self.stop()
        shutil.copytree(self._state, self._kept)

    @property
    def _kept(self) -> Path:
        return self.project.with_name(f"{self.project.name}.kept")

    def restore(self) -> None:
        """Serve the remembered state anew, with every protocol already loaded."""
        self.stop()
        shutil.rmtree(self._state)
        shutil.copytree(self._kept, self._state)
        self.start()
        self._warm()

    def start(self) -> None:
        command = [
            *(self.metadeploy, "-C", str(self.project)),
            *("emulator", "serve", "--port", str(self.port)),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment()
        )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        if not ready or json.loads(ready)["url"] != self.url:
            raise Broken(f"emulator serve said {ready!r}")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def new_token(self) -> str:
        command = [self.metadeploy, "-C", str(self.project)]
        command += ["emulator", "token", self.org]
        done = subprocess.run(
            command, env=environment(), stdout=subprocess.PIPE, check=True
        )
        return str(json.loads(done.stdout)["accessToken"])

    def _warm(self) -> None:
        bearer = {"Authorization": f"Bearer {self.token}"}
        query = "/services/data/v66.0/query?q=SELECT+Id+FROM+Organization"
        soap = {"Content-Type": "text/xml", "SOAPAction": '""'}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        requests = [
            ("GET", query, "", bearer),
            ("POST", "/services/Soap/m/66.0", _DESCRIBE.format(token=self.token), soap),
            ("POST", "/services/oauth2/token", "grant_type=x", form),
        ]
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port)
        for method, path, body, headers in requests:
            connection.request(method, path, body, headers)
            connection.getresponse().read()
        connection.close()


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
