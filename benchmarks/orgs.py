"""How fast and how small emulated orgs are: one JSON document on stdout.

orgs.py FOLDER [WORLD_SIZE]
"""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

from lxml import etree

_MD = "http://soap.sforce.com/2006/04/metadata"
_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Header>
<SessionHeader xmlns="{ns}"><sessionId>{token}</sessionId></SessionHeader>
</Header><Body>{body}</Body></Envelope>"""
_SERVE = """
import sys, time
started = time.perf_counter()
from metadeploy.emulator.server import serve
from metadeploy.emulator.state import open_world
from pathlib import Path
world = open_world(Path(sys.argv[1]))
server = serve(world)
print(server.url, time.perf_counter() - started, flush=True)
sys.stdin.read()
server.stop()
world.close()
"""


class Caller:
    """A SOAP client of a few lines: one kept connection, no XML built."""

    def __init__(self, url: str, token: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._token = token

    def message(self, body: str) -> bytes:
        text = _ENVELOPE.format(ns=_MD, token=self._token, body=body).encode()
        head = (
            "POST /services/Soap/m/66.0 HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: text/xml\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        return head.encode() + text

    def send(self, message: bytes) -> bytes:
        self._socket.sendall(message)
        status = self._file.readline()
        length = 0
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        answer = self._file.read(length)
        assert status.split()[1] == b"200", answer[:1000]
        return answer

    def call(self, body: str) -> etree._Element:
        answer = etree.fromstring(
            self.send(self.message(body)), etree.XMLParser(huge_tree=True)
        )
        found = answer.find(f".//{{{_MD}}}result")
        assert found is not None, etree.tostring(answer)[:1000]
        return found

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def main(folder: str, world_size: str = "1000") -> None:
    root = Path(folder)
    found: dict[str, float] = {}
    found["ready, from import to serving, s"] = min(_ready(root) for _ in range(5))
    path = root / "world.sqlite3"
    token = _org(path)
    server = _start(path)
    assert server.stdout is not None
    url = server.stdout.readline().split()[0].decode()
    caller = Caller(url, token)
    try:
        found |= _small_calls(url, token, server.pid)
        found["deploy of 1,000 components, s"] = _deploy(caller, _thousand())
        found["its redeploy, unchanged, s"] = _deploy(caller, _thousand())
        _deploy(caller, _large(10_000_000))
        found["retrieve of a 10 MB report, s"] = _retrieve(caller)
    finally:
        caller.close()
        server.communicate()
    found |= _many(root / "many.sqlite3", int(world_size))
    print(json.dumps(found))


def _start(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _SERVE, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _ready(root: Path) -> float:
    path = root / "ready.sqlite3"
    path.unlink(missing_ok=True)
    server = _start(path)
    assert server.stdout is not None
    took = float(server.stdout.readline().split()[1])
    server.communicate()
    return took


def _org(path: Path, name: str = "dev") -> str:
    from metadeploy.emulator.seed import admin_of
    from metadeploy.emulator.settings import OrgSettings
    from metadeploy.emulator.state import open_world

    world = open_world(path)
    org = world.create_org(name, OrgSettings())
    token = org.issue_token(admin_of(org))
    world.close()
    return token


def _small_calls(url: str, token: str, pid: int) -> dict[str, float]:
    """Time small calls over one connection and over eight; CPU is the server's."""
    found: dict[str, float] = {}
    bodies = {
        "checkDeployStatus": None,
        "listMetadata": f'<listMetadata xmlns="{_MD}"><queries><type>Profile'
        "</type></queries></listMetadata>",
        "describeMetadata": f'<describeMetadata xmlns="{_MD}"><asOfVersion>66.0'
        "</asOfVersion></describeMetadata>",
    }
    first = Caller(url, token)
    job = first.call(_deploy_body(_zip({}, ())))
    job_id = job.findtext(f"{{{_MD}}}id")
    bodies["checkDeployStatus"] = _status_body("checkDeployStatus", str(job_id))
    for name, body in bodies.items():
        assert body is not None
        first.call(body)
        message = first.message(body)
        for connections in (1, 8):
            rate, cpu_rate = _rate(url, token, message, connections, pid)
            found[f"{name}, {connections} connections, calls/s"] = rate
            found[f"{name}, {connections} connections, calls/CPU s"] = cpu_rate
    first.close()
    return found


def _rate(
    url: str, token: str, message: bytes, connections: int, pid: int
) -> tuple[float, float]:
    each = 1600 // connections
    callers = [Caller(url, token) for _ in range(connections)]

    def work(caller: Caller) -> None:
        for _ in range(each):
            caller.send(message)

    threads = [threading.Thread(target=work, args=(c,)) for c in callers]
    cpu, start = _cpu_of(pid), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - start, _cpu_of(pid) - cpu
    for caller in callers:
        caller.close()
    return each * connections / took, each * connections / used


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _zip(files: dict[str, str], types: tuple[tuple[str, list[str]], ...]) -> str:
    listed = "".join(
        "<types>"
        + "".join(f"<members>{m}</members>" for m in members)
        + f"<name>{name}</name></types>"
        for name, members in types
    )
    manifest = f'<Package xmlns="{_MD}">{listed}<version>66.0</version></Package>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package.xml", manifest)
        for path, text in files.items():
            archive.writestr(path, text)
    return base64.b64encode(out.getvalue()).decode()


def _thousand() -> str:
    names = [f"Set_{n:04}" for n in range(1000)]
    files = {
        f"permissionsets/{name}.permissionset": f'<PermissionSet xmlns="{_MD}">'
        f"<description>Number {name}</description><label>{name}</label>"
        "<userPermissions><enabled>true</enabled><name>ApiEnabled</name>"
        "</userPermissions></PermissionSet>"
        for name in names
    }
    return _zip(files, (("PermissionSet", names),))


def _large(size: int) -> str:
    rows = []
    length = n = 0
    while length < size:
        row = (
            "    <columns>\n"
            f"        <field>Object__c$Field_Number_{n:06}__c</field>\n"
            "    </columns>\n"
        )
        rows.append(row)
        length += len(row)
        n += 1
    body = f'<Report xmlns="{_MD}">\n{"".join(rows)}</Report>\n'
    files = {"reports/Large/Large.report": body}
    return _zip(files, (("Report", ["Large/Large"]),))


def _deploy_body(zipped: str) -> str:
    return (
        f'<deploy xmlns="{_MD}"><ZipFile>{zipped}</ZipFile><DeployOptions>'
        "<rollbackOnError>true</rollbackOnError><singlePackage>true</singlePackage>"
        "</DeployOptions></deploy>"
    )


def _status_body(operation: str, job_id: str) -> str:
    more = "includeDetails" if operation == "checkDeployStatus" else "includeZip"
    return (
        f'<{operation} xmlns="{_MD}"><asyncProcessId>{job_id}</asyncProcessId>'
        f"<{more}>true</{more}></{operation}>"
    )


def _deploy(caller: Caller, zipped: str) -> float:
    message = _deploy_body(zipped)
    start = time.perf_counter()
    job = caller.call(message).findtext(f"{{{_MD}}}id")
    while True:
        result = caller.call(_status_body("checkDeployStatus", str(job)))
        if result.findtext(f"{{{_MD}}}done") == "true":
            break
    took = time.perf_counter() - start
    status = result.findtext(f"{{{_MD}}}status")
    assert status == "Succeeded", etree.tostring(result)[:3000]
    return took


def _retrieve(caller: Caller) -> float:
    start = time.perf_counter()
    job = caller.call(
        f'<retrieve xmlns="{_MD}"><retrieveRequest><apiVersion>66.0</apiVersion>'
        "<singlePackage>true</singlePackage><unpackaged><types><members>Large/Large"
        "</members><name>Report</name></types><version>66.0</version></unpackaged>"
        "</retrieveRequest></retrieve>"
    ).findtext(f"{{{_MD}}}id")
    while True:
        result = caller.call(_status_body("checkRetrieveStatus", str(job)))
        if result.findtext(f"{{{_MD}}}done") == "true":
            break
    data = base64.b64decode(result.findtext(f"{{{_MD}}}zipFile") or "")
    took = time.perf_counter() - start
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {i.filename: i.file_size for i in archive.infolist()}
    assert max(sizes.values()) > 9_000_000, sizes
    return took


def _many(path: Path, size: int) -> dict[str, float]:
    """Make a world of many orgs; say what one costs, and if others slow it."""
    from metadeploy.emulator.settings import OrgSettings
    from metadeploy.emulator.state import open_world

    found: dict[str, float] = {}
    world = open_world(path)
    world.create_org("first", OrgSettings())
    found["reading an org alone in its world, ms"] = _reading(path, "first")
    start = time.perf_counter()
    for n in range(1, size):
        world.create_org(f"org{n:04}", OrgSettings())
    found["making an org, ms"] = (time.perf_counter() - start) * 1000 / (size - 1)
    found[f"reading an org among {size}, ms"] = _reading(path, "first")
    world.close()
    found["disk per empty org, KB"] = path.stat().st_size / size / 1000
    return found


def _reading(path: Path, name: str) -> float:
    from metadeploy.emulator.state import open_world

    world = open_world(path)
    taken = []
    for _ in range(50):
        start = time.perf_counter()
        world.org(name).records("PermissionSet")
        taken.append(time.perf_counter() - start)
    world.close()
    return min(taken) * 1000


if __name__ == "__main__":
    main(*sys.argv[1:])
