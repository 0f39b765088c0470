"""What a certificate says of itself. Imports cryptography: load it only to read one."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Struct


class Certificate(Struct, frozen=True):
    """begins, ends: in UTC. rsa_bits: 0 where the key is of another kind."""

    begins: datetime
    ends: datetime
    rsa_bits: int


def read(pem: str) -> Certificate:
    """Return what the PEM text of one certificate says. Raises ValueError."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
        key = found.public_key()
    except (x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    return Certificate(
        begins=found.not_valid_before_utc,
        ends=found.not_valid_after_utc,
        rsa_bits=key.key_size if isinstance(key, RSAPublicKey) else 0,
    )
