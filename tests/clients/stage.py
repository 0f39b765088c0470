"""What the client checks play on: a served world, orgs to log in to, packages.

The server is the `metadeploy emulator serve` of this checkout, as a process of its
own; the orgs are made in its world's file, as another process may do at any time.
"""

from __future__ import annotations

import datetime
import json
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from metadeploy.emulator.jobs import DeployOptions, deploy_status, submit_deploy
from metadeploy.emulator.seed import admin_of
from metadeploy.emulator.settings import OrgSettings, UserSpec
from metadeploy.emulator.state import OrgState, World, open_world
from metadeploy.model import Component, Ref
from metadeploy.package import pack, zip_files

HERE = Path(__file__).parent
API_VERSION = "66.0"
PASSWORD = "correct horse <battery> & staple"
_KEY_IN_PACKAGE = "3MVG9wireAppConsumerKey"
_START_SECONDS = 20.0


@dataclass(frozen=True)
class Login:
    """An org that a check may use: whoever it logs in as may do everything there.

    token: an access token. consumer_key: of an app that admits the user by JWT,
    signed by the key in key_file, and by client credentials.
    """

    org_id: str
    user_id: str
    username: str
    token: str
    consumer_key: str
    consumer_secret: str
    key_file: Path


@dataclass(frozen=True)
class Stage:
    """A served world. url and https_url end without a slash."""

    folder: Path
    world: World
    url: str
    https_url: str
    ca_path: Path

    def org(self, name: str, settings: OrgSettings) -> Login:
        """Make an org with a user, and an app that admits him."""
        username = f"client@{name}.example"
        user = UserSpec(username, "System Administrator", password=PASSWORD)
        org = self.world.create_org(name, replace(settings, users=(user,)))
        user_id = next(
            str(u["Id"]) for u in org.records("User") if u["Username"] == username
        )
        key_file, certificate = _key_pair(self.folder, name)
        login = Login(
            org.id,
            user_id,
            username,
            org.issue_token(user_id),
            consumer_key="3MVG9clientLogin" + name.replace("-", ""),
            consumer_secret=f"SECRET0{org.id}",
            key_file=key_file,
        )
        _deploy_app(org, login, certificate)
        return login

    def package(self, name: str) -> Path:
        """Write the package for one org and return its folder.

        It holds `mdapi/`, `mdapi.zip` and the SFDX project `source/`, all with the
        same components. Consumer keys are unique in a world, so each org has its own.
        """
        target = self.folder / name / "package"
        shutil.copytree(HERE / "package", target / "mdapi")
        app = target / "mdapi/connectedApps/Wire_App.connectedApp"
        key = _KEY_IN_PACKAGE + name.replace("-", "")
        text = app.read_text("utf-8").replace(_KEY_IN_PACKAGE, key)
        app.write_text(text, "utf-8")
        _write_zip(target)
        _write_source(target)
        return target


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Serve a new world from `folder` until the block ends. Raises RuntimeError."""
    (folder / "project" / "orgs").mkdir(parents=True)
    (folder / "project" / "orgs" / "dev.yaml").write_text("kind: emulated\n", "utf-8")
    command = [sys.executable, "-m", "metadeploy", "emulator", "serve"]
    log = (folder / "server.log").open("wb")
    with (
        log,
        subprocess.Popen(
            command, cwd=folder / "project", stdout=subprocess.PIPE, stderr=log
        ) as server,
    ):
        try:
            where = _where(server)
            world_path = folder / "project/.metadeploy/emulator/world.sqlite3"
            world = open_world(world_path)
            try:
                yield Stage(
                    folder,
                    world,
                    where["url"],
                    where["httpsUrl"],
                    Path(where["caPath"]),
                )
            finally:
                world.close()
        finally:
            server.terminate()
            server.wait(10)


def _where(server: subprocess.Popen[bytes]) -> dict[str, str]:
    if server.stdout is None:
        raise RuntimeError("the server has no stdout")
    if not select.select([server.stdout], [], [], _START_SECONDS)[0]:
        raise RuntimeError("the server did not start in time")
    line = server.stdout.readline()
    if not line:
        raise RuntimeError("the server ended at its start")
    found: dict[str, str] = json.loads(line)
    return found


def _key_pair(folder: Path, name: str) -> tuple[Path, str]:
    """Return the file of a new private key and its certificate, base64 of the DER."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return path, "".join(pem.splitlines()[1:-1])


def _deploy_app(org: OrgState, login: Login, certificate: str) -> None:
    text = (HERE / "login_app.connectedApp").read_text("utf-8")
    for name, value in {
        "certificate": certificate,
        "consumer_key": login.consumer_key,
        "consumer_secret": login.consumer_secret,
        "username": login.username,
    }.items():
        text = text.replace(f"{{{name}}}", value)
    app = Component(Ref("ConnectedApp", "Client_Login"), text.encode())
    # As the org's own administrator: the check's user is under test.
    session = org.world.org_of_token(org.issue_token(admin_of(org)))
    if session is None:
        raise RuntimeError(f"org {org.name} does not know its own token")
    deploy_id = submit_deploy(session, pack([app], API_VERSION), DeployOptions())
    job = deploy_status(session, deploy_id, include_details=True)
    while not job.done:
        job = deploy_status(session, deploy_id, include_details=True)
    if not job.success:
        raise RuntimeError(f"the app to log in with was refused: {job}")


def _write_zip(target: Path) -> None:
    found = [p for p in sorted((target / "mdapi").rglob("*")) if p.is_file()]
    content = {
        p.relative_to(target / "mdapi").as_posix(): p.read_bytes() for p in found
    }
    (target / "mdapi.zip").write_bytes(zip_files(content))


def _write_source(target: Path) -> None:
    source = target / "source"
    default = source / "force-app/main/default"
    shutil.copytree(target / "mdapi", default)
    (default / "package.xml").rename(source / "package.xml")
    for path in [p for p in default.rglob("*") if p.is_file()]:
        path.rename(path.with_name(path.name + "-meta.xml"))
    project = {
        "packageDirectories": [{"path": "force-app", "default": True}],
        "namespace": "",
        "sourceApiVersion": API_VERSION,
    }
    (source / "sfdx-project.json").write_text(json.dumps(project, indent=2), "utf-8")
