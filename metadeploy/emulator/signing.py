"""JWTs: those that apps send are verified, id tokens are signed (RFC 7515, 7517).

The only module of OAuth that loads cryptography; it is loaded when a signature comes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from filelock import FileLock

from metadeploy.emulator.private_file import write_private
from metadeploy.emulator.wire import Json

_HASHES = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
_PEM_BEGIN = "-----BEGIN CERTIFICATE-----"


class BadAssertion(ValueError):
    """Not a JWT, or not signed by whom it should be."""


def unverified_claims(token: str) -> Mapping[str, Json]:
    """Return a JWT's claims without believing them. Raises BadAssertion."""
    return _part(_split(token)[1])


def verified_claims(token: str, certificate: str) -> Mapping[str, Json]:
    """Return a JWT's claims if that certificate's key signed it.

    certificate: PEM, or its base64 alone. Raises BadAssertion.
    """
    head, body, signature = _split(token)
    algorithm = _HASHES.get(str(_part(head).get("alg")))
    if algorithm is None:
        raise BadAssertion("the algorithm is not RS256, RS384 or RS512")
    key = _public_key(certificate)
    signed = f"{head}.{body}".encode()
    try:
        key.verify(_bytes(signature), signed, padding.PKCS1v15(), algorithm)
    except InvalidSignature as error:
        raise BadAssertion("the signature does not fit the certificate") from error
    return _part(body)


def signed(claims: Mapping[str, Json], directory: Path) -> str:
    """Return a JWT signed with the world's own key, which lies in `directory`."""
    key = _own_key(directory)
    head = {"alg": "RS256", "kid": _key_id(key), "typ": "JWT"}
    text = f"{_text(_json(head))}.{_text(_json(claims))}"
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{_text(signature)}"


def key_set(directory: Path) -> Json:
    """Return the JWKS with the public half of the world's own key."""
    key = _own_key(directory)
    numbers = key.public_key().public_numbers()
    return {
        "keys": [
            {
                "kty": "RSA",
                "use": "sig",
                "alg": "RS256",
                "kid": _key_id(key),
                "n": _text(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
                "e": _text(numbers.e.to_bytes(3)),
            }
        ]
    }


def _split(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(parts) != 3:
        raise BadAssertion("a JWT has three parts")
    return parts[0], parts[1], parts[2]


def _part(text: str) -> Mapping[str, Json]:
    try:
        found = json.loads(_bytes(text))
    except (ValueError, RecursionError) as error:
        raise BadAssertion("a part of the JWT is not JSON") from error
    if not isinstance(found, dict):
        raise BadAssertion("a part of the JWT is not an object")
    return found


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError as error:
        raise BadAssertion("a part of the JWT is not base64url") from error


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _json(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=dict).encode()


@lru_cache(maxsize=256)
def _public_key(certificate: str) -> rsa.RSAPublicKey:
    pem = certificate.strip()
    if _PEM_BEGIN not in pem:
        pem = f"{_PEM_BEGIN}\n{pem}\n-----END CERTIFICATE-----"
    try:
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    except ValueError as error:
        raise BadAssertion("the app's certificate is none") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadAssertion("the app's certificate holds no RSA key")
    return key


@lru_cache(maxsize=16)
def _own_key(directory: Path) -> rsa.RSAPrivateKey:
    path = directory / "signing.pem"
    with FileLock(directory / "signing.lock"):
        if not path.exists():
            new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem = new.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_private(path, pem)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{path} holds no RSA key")
    return key


def _key_id(key: rsa.RSAPrivateKey) -> str:
    return hashlib.sha256(
        str(key.public_key().public_numbers().n).encode()
    ).hexdigest()[:16]
