"""The example project with a key pair, and what tests do to its emulated orgs."""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from metadeploy.emulator.state import OrgState, open_world

PORTAL = "templates/connectedApps/Portal.connectedApp.j2"


@cache
def key_pair() -> tuple[str, str]:
    """A private key and its certificate, PEM."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "portal")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    return private.decode(), certificate.public_bytes(pem).decode()


def edit(path: Path, old: str, new: str) -> None:
    """Replace text that has to be there."""
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new))


def git(folder: Path, *words: str) -> None:
    """Run git in a folder, without anybody's configuration."""
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, **quiet},
    )


def with_certificate(project: Path, *apps: str) -> None:
    """Give the Portal app a certificate, its key in portal.key; and dev its logins.

    apps: lines below `apps:` of orgs/dev.yaml.
    """
    private, certificate = key_pair()
    (project / "portal.key").write_text(private)
    element = "<certificate>{{ certificate }}</certificate>\n        "
    edit(project / PORTAL, "<isAdminApproved>", f"{element}<isAdminApproved>")
    indented = certificate.replace("\n", "\n    ").rstrip()
    logins = "".join(f"  {line}\n" for line in apps)
    head = f"apps:\n{logins}" if logins else ""
    edit(
        project / "orgs/dev.yaml",
        "\nvalues:",
        f"\n{head}values:\n  certificate: |\n    {indented}",
    )


@contextmanager
def emulated(project: Path, name: str = "dev") -> Iterator[OrgState]:
    """An emulated org of the project, from behind."""
    world = open_world(project / ".metadeploy/emulator/world.sqlite3")
    try:
        yield world.org(name)
    finally:
        world.close()
