"""Edge: certificates for apps that are logged in to by JWT. Knows cryptography.

The org has the certificate, whoever logs in has the private key. So the certificate
belongs in the project, and the key never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from msgspec import Struct

from metadeploy.errors import ConfigError
from metadeploy.model import Component, Secret

# What Salesforce's own self-signed certificates have at least (Setup, Certificates).
KEY_BITS = 2048
WARN_DAYS = 30
_HEAD, _FOOT = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class KeyPair(Struct, frozen=True):
    """A private key and its certificate, both PEM."""

    private_key: Secret
    certificate: str


class Certificate(Struct, frozen=True):
    """One file of certs/. fingerprint: SHA-256, hex. pem: its base64, on one line."""

    path: str
    subject: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    pem: str

    def days_left(self, now: datetime) -> int:
        """Return the whole days until it expires, or minus those since it has."""
        return int((self.not_after - now) / timedelta(days=1))

    def expired(self, now: datetime) -> bool:
        return now > self.not_after


class Use(Struct, frozen=True):
    """A template that puts a certificate into an app, and for which orgs."""

    template: str
    orgs: tuple[str, ...]


def make(name: str, *, days: int, now: datetime) -> KeyPair:
    """Return a new RSA key and a certificate that it signs itself, for `days` days.

    Valid from an hour ago: clocks differ.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(usage, True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return KeyPair(Secret(private.decode("ascii")), pem.decode("ascii"))


def read(path: str, text: str) -> Certificate:
    """Return the first certificate of a PEM text. Raises ConfigError for none."""
    try:
        found = x509.load_pem_x509_certificate(text.encode())
        fingerprint = found.fingerprint(hashes.SHA256()).hex()
        subject = found.subject.rfc4514_string()
        pem = found.public_bytes(serialization.Encoding.PEM).decode("ascii")
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate that can be read") from error
    return Certificate(
        path,
        subject,
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        fingerprint,
        _joined(pem),
    )


def uses(
    certificate: Certificate, rendered: Mapping[str, Iterable[Component]]
) -> tuple[Use, ...]:
    """Return the templates that a certificate came out of, by path.

    rendered: the components of each org, by its name.
    """
    found: dict[str, list[str]] = {}
    for org, components in sorted(rendered.items()):
        for component in components:
            source = component.source
            body = component.body.decode("utf-8", "replace")
            if source is not None and certificate.pem in _joined(body):
                orgs = found.setdefault(source.path, [])
                if org not in orgs:
                    orgs.append(org)
    return tuple(Use(path, tuple(found[path])) for path in sorted(found))


def _joined(text: str) -> str:
    """Return text without armour and white space: line breaks mean nothing in PEM."""
    return "".join(text.replace(_HEAD, "").replace(_FOOT, "").split())
