"""Edge: assertions of who asks, signed as JWT bearer wants. Knows cryptography."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from metadeploy.errors import ConfigError
from metadeploy.model import Secret

Claim = str | int


def signed(claims: Mapping[str, Claim], private_key: Secret) -> Secret:
    """Return a JWT (RFC 7519) signed with RS256. Raises ConfigError for a bad key."""
    try:
        key = serialization.load_pem_private_key(
            private_key.reveal().encode(), password=None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "the private key is no unencrypted PEM key",
            hint="`openssl rsa -in KEY` writes one from a key with a passphrase.",
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError(
            "the private key is not an RSA key: JWT bearer takes RS256",
            hint="`metadeploy certs create NAME` makes a pair that fits.",
        )
    header = {"alg": "RS256", "typ": "JWT"}
    text = f"{_part(header)}.{_part(claims)}"
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return Secret(f"{text}.{_base64url(signature)}")


def _part(value: Mapping[str, Claim]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
