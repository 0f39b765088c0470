"""Certificates: made, read, and found again in what templates render."""

from __future__ import annotations

import datetime

import jwt
import pytest
from cryptography import x509

from metadeploy import certs
from metadeploy.errors import ConfigError
from metadeploy.model import Component, Ref, Source

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def pair():
    return certs.make("portal", days=90, now=NOW)


def test_a_pair_signs_and_proves(pair):
    found = x509.load_pem_x509_certificate(pair.certificate.encode())
    token = jwt.encode({"sub": "user"}, pair.private_key.reveal(), "RS256")
    claims = jwt.decode(token, found.public_key(), algorithms=["RS256"])
    assert claims == {"sub": "user"}
    assert found.public_key().key_size == 2048
    found.verify_directly_issued_by(found)
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert "PRIVATE" not in pair.certificate and "***" in repr(pair)


def test_a_certificate_is_read(pair):
    read = certs.read("certs/portal.crt", f"made by hand\n{pair.certificate}")
    assert (read.subject, read.not_after) == ("CN=portal", NOW + datetime.timedelta(90))
    assert read.not_before == NOW - datetime.timedelta(hours=1)
    assert len(bytes.fromhex(read.fingerprint)) == 32
    days = [read.days_left(NOW + datetime.timedelta(n)) for n in (0, 89.5, 90.5, 92)]
    assert days == [90, 0, 0, -2]
    expired = [read.expired(NOW + datetime.timedelta(n)) for n in (89.9, 90.1)]
    assert expired == [False, True]


@pytest.mark.parametrize(
    "text",
    ["", "portal", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
)
def test_what_is_no_certificate(text):
    with pytest.raises(ConfigError, match=r"certs/x\.crt holds no certificate"):
        certs.read("certs/x.crt", text)


def test_uses_are_found_however_lines_are_broken(pair):
    read = certs.read("certs/portal.crt", pair.certificate)

    def component(name, text):
        source = Source(f"templates/{name}.j2")
        return Component(Ref("ConnectedApp", name), text.encode(), source)

    rendered = {
        "uat": [component("A", f"<c>{pair.certificate.replace(chr(10), chr(10) * 2)}")],
        "dev": [
            component("A", f"<c>{read.pem}</c>"),
            component("B", "<c/>"),
            component("A", f"<d>{pair.certificate}</d>"),
        ],
    }
    assert certs.uses(read, rendered) == (certs.Use("templates/A.j2", ("dev", "uat")),)
