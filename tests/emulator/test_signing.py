"""JWTs that apps send, and our own id tokens."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from metadeploy.emulator.signing import (
    BadAssertion,
    key_set,
    signed,
    unverified_claims,
    verified_claims,
)

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"iss": "key", "sub": "ann@x.example", "n": 1}


def certificate(key: Any = KEY) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def part(value: object) -> str:
    text = json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
def test_what_another_library_signs_is_verified(algorithm: str):
    token = jwt.encode(CLAIMS, KEY, algorithm=algorithm)
    assert verified_claims(token, certificate()) == CLAIMS
    assert unverified_claims(token) == CLAIMS


def test_a_certificate_may_lack_its_armour():
    lines = certificate().strip().splitlines()[1:-1]
    token = jwt.encode(CLAIMS, KEY, algorithm="RS256")
    assert verified_claims(token, "".join(lines)) == CLAIMS


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c",
        "é.é.é",
        f"{part({'alg': 'none'})}.{part(CLAIMS)}.",
        f"{part({'alg': 'RS256'})}.{part(CLAIMS)}.",
        f"{part({'alg': 'RS256'})}.{part([1])}.c2ln",
        f"{part([1])}.{part(CLAIMS)}.c2ln",
        f"{part({'alg': 'RS256'})}.{part(CLAIMS)}.not+base64url",
        jwt.encode(CLAIMS, OTHER, algorithm="RS256"),
        jwt.encode(CLAIMS, "x" * 64, algorithm="HS256"),
        jwt.encode(CLAIMS, KEY, algorithm="PS256"),
    ],
)
def test_what_is_not_signed_by_the_app_is_refused(token: str):
    with pytest.raises(BadAssertion):
        verified_claims(token, certificate())


def test_claims_that_were_changed_are_refused():
    head, _, signature = jwt.encode(CLAIMS, KEY, algorithm="RS256").split(".")
    with pytest.raises(BadAssertion, match="does not fit"):
        verified_claims(f"{head}.{part({'sub': 'eve'})}.{signature}", certificate())


@pytest.mark.parametrize(
    "pem", ["", "nonsense", certificate(ec.generate_private_key(ec.SECP256R1()))]
)
def test_a_certificate_without_an_rsa_key_verifies_nothing(pem: str):
    token = jwt.encode(CLAIMS, KEY, algorithm="RS256")
    with pytest.raises(BadAssertion):
        verified_claims(token, pem)


def test_another_library_verifies_what_we_sign(tmp_path: Path):
    token = signed({**CLAIMS, "aud": "client"}, tmp_path)
    keys = jwt.PyJWKSet.from_dict(key_set(tmp_path))  # type: ignore[arg-type]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["RS256"], audience="client")["n"] == 1
    assert (tmp_path / "signing.pem").stat().st_mode & 0o777 == 0o600
