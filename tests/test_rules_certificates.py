"""Rules for certificates: readable, in time, and strong enough."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rule_files import component, oauth

from metadeploy import rules
from metadeploy.model import Component, Ref
from metadeploy.project import Project
from metadeploy.workspace import Workspace

APPROVED = "<isAdminApproved>true</isAdminApproved>"
BEGIN = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
END = dt.datetime(2026, 12, 31, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
SOON = dt.timedelta(days=30)


def certificate(key) -> str:
    """The PEM text of a certificate that counts from BEGIN to END."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Portal")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def good() -> str:
    return certificate(ec.generate_private_key(ec.SECP256R1()))


def connected(pem: str) -> Component:
    """A connected app, its certificate on line 7."""
    return oauth(APPROVED, f"<certificate>{pem}</certificate>")


def client(pem: str) -> Component:
    """An External Client App, its certificate on line 3."""
    return component(
        Ref("ExtlClntAppGlobalOauthSettings", "Portal_glbl"),
        "<externalClientApplication>Portal</externalClientApplication>",
        f"<certificate>{pem}</certificate>",
    )


def found(given: Component, now: dt.datetime | None) -> list[str]:
    problems = rules.check_posture([given], now=now)
    return [str(p).partition(":")[2] for p in problems]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (None, []),
        (BEGIN, []),
        (END - SOON - SECOND, []),
        (BEGIN - SECOND, ["warning: the certificate begins on 2026-01-01 12:00 UTC"]),
        (END - SOON, ["warning: the certificate ends on 2026-12-31"]),
        (END, ["warning: the certificate ends on 2026-12-31"]),
        (END + SECOND, ["the certificate ended on 2026-12-31"]),
    ],
)
def test_a_certificate_has_its_time(good, now, told) -> None:
    for given, line in ((connected(good), 7), (client(good), 3)):
        said = [f.rpartition(" [")[0] for f in found(given, now)]
        assert said == [f"{line}: {message}" for message in told]


def test_a_weak_key() -> None:
    weak = certificate(rsa.generate_private_key(65537, 1024))
    assert found(connected(weak), None) == [
        "7: warning: the certificate has an RSA key of 1024 bits [MD714]"
    ]
    strong = certificate(rsa.generate_private_key(65537, 2048))
    assert found(connected(strong), BEGIN) == []


def test_a_certificate_that_holds_something_else(good) -> None:
    lines = good.split("\n")
    other = "\n".join([lines[0], "AAAA", *lines[-2:]])
    assert found(connected(other), BEGIN) == [
        "7: the certificate cannot be read: its PEM text holds something else [MD213]"
    ]
    # X.509 has versions 1 to 3; this one says 6.
    der = ssl.PEM_cert_to_DER_cert(good).replace(
        b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"
    )
    (told,) = found(connected(ssl.DER_cert_to_PEM_cert(der)), BEGIN)
    assert told.startswith("7: the certificate cannot be read")
    # What is wrong with the text itself is told by the other rules.
    assert found(connected("Portal"), BEGIN) == []


TEMPLATE = "templates/connectedApps/Portal.connectedApp.j2"
TEXTS = {
    "orgs/uat.yaml": "kind: emulated\n",
    TEMPLATE: """\
<?xml version="1.0" encoding="UTF-8"?>
<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata">
    <contactEmail>a@example.com</contactEmail>
    <label>Portal</label>
    <oauthConfig>
        <callbackUrl>https://a.example.com/cb</callbackUrl>
        <certificate>{{ file('certs/portal.crt') }}</certificate>
    </oauthConfig>
</ConnectedApp>
""",
}


def test_a_project_is_judged_at_its_time(good) -> None:
    texts = {**TEXTS, "certs/portal.crt": good}
    assert Project(texts).validate(["uat"]) == []
    (problem,) = Project(texts, END + SECOND).validate(["uat"])
    assert (problem.path, problem.line, problem.rule) == (TEMPLATE, 7, "MD711")


def test_a_workspace_has_the_time(tmp_path) -> None:
    before = dt.datetime.now(dt.UTC)
    now = Workspace(tmp_path).project().now
    assert now is not None and before <= now <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("used", [True, False])
def test_cryptography_is_loaded_for_a_certificate_only(tmp_path, good, used) -> None:
    call = "<certificate>{{ file('certs/portal.crt') }}</certificate>"
    for path, text in {**TEXTS, "certs/portal.crt": good}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text(text if used else text.replace(call, ""))
    code = (
        "import sys; from metadeploy import cli;"
        f"cli.run(['-C', {str(tmp_path)!r}, 'validate']);"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert done.stdout.split("\n")[-2] == str(used)
